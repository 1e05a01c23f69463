"""Find the package, the metadata and the sources of a plugin."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from rolehost.discovery import InstalledPlugin


@dataclass(frozen=True)
class Subject:
    """One installed plugin and the locations of its parts.

    Attributes:
        found: the plugin.
        source: the folder of its sources, with ``tests``; None if unknown.
    """

    found: InstalledPlugin
    source: Path | None

    @classmethod
    def of(cls, found: InstalledPlugin, source: Path | None = None) -> Subject:
        """Make a subject; for an editable installation, find its source folder.

        Args:
            found: the plugin.
            source: the source folder, if the author gives it.
        """
        return cls(found, source or _editable(_installed(found.distribution)))

    @cached_property
    def metadata(self) -> importlib.metadata.Distribution:
        """The installed distribution."""
        return _installed(self.found.distribution)

    @cached_property
    def headers(self) -> Message:
        """The headers of its metadata."""
        # The protocol PackageMetadata has only a part of the methods of Message.
        return cast("Message", self.metadata.metadata)

    @cached_property
    def package(self) -> str:
        """Top-level import name of the plugin."""
        return self.found.target.partition(":")[0].partition(".")[0].strip()

    @cached_property
    def folder(self) -> Path:
        """Folder of the package, or of the module if it is a single file."""
        spec = importlib.util.find_spec(self.package)
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
        return Path(spec.origin).parent if spec is not None and spec.origin else Path()

    @cached_property
    def single(self) -> bool:
        """Whether it is a single module, not a package."""
        return not (self.folder / "__init__.py").is_file()

    @cached_property
    def base(self) -> Path:
        """Its folder on the import path; locations are relative to it."""
        return self.folder if self.single else self.folder.parent

    @cached_property
    def modules(self) -> tuple[Path, ...]:
        """Its Python files, sorted."""
        if self.single:
            return (self.folder / f"{self.package}.py",)
        return tuple(sorted(self.folder.rglob("*.py")))

    @cached_property
    def tests(self) -> tuple[Path, ...] | None:
        """The Python files of its tests, sorted; None if its sources are not available."""
        if self.source is None or not (self.source / "tests").is_dir():
            return None
        return tuple(sorted((self.source / "tests").rglob("*.py")))

    @cached_property
    def readme(self) -> str:
        """Its README, from the sources if available, otherwise from the package metadata."""
        if self.source is not None and (self.source / "README.md").is_file():
            return (self.source / "README.md").read_text("utf-8")
        return str(self.headers.get("Description") or self.headers.get_payload() or "")

    @cached_property
    def editable(self) -> bool:
        """Whether it is an editable installation, which runs from the sources."""
        return _editable(self.metadata) is not None

    @cached_property
    def siblings(self) -> tuple[str, ...]:
        """Names of all plugins in the distribution."""
        return tuple(
            entry.name for entry in self.metadata.entry_points if entry.group == "rolehost"
        )


def _installed(name: str) -> importlib.metadata.Distribution:
    """Return the installer's metadata, not the metadata that a build left in the sources."""
    for distribution in importlib.metadata.distributions(name=name):
        if distribution.read_text("RECORD") is not None:
            return distribution
    return importlib.metadata.distribution(name)


def _editable(distribution: importlib.metadata.Distribution) -> Path | None:
    """Return the folder of an editable installation (PEP 610), or None."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    found = json.loads(text)
    if not found.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(found["url"]).path))
