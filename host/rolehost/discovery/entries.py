"""Entry points of the group ``rolehost``, read from the metadata of installed distributions.

Source: the entry points and the core metadata specifications of packaging.python.org. This module
reads the folders of ``sys.path`` itself, because :mod:`importlib.metadata` creates an object for
each of hundreds of distributions. For other entries, for example zip files, it uses
:mod:`importlib.metadata`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from rolehost.discovery.loading import load

#: Entry-point group of plugins. Defined here and not in :mod:`rolehost.api.hooks`, so that
#: commands can be found without importing the API.
GROUP = "rolehost"

#: Group in which a distribution lists its plugins without security middleware: a service may run
#: without these plugins.
DEGRADABLE = f"{GROUP}.degradable"

_NAME = re.compile(r"^name:(.*)$", re.MULTILINE | re.IGNORECASE)
_VERSION = re.compile(r"^version:(.*)$", re.MULTILINE | re.IGNORECASE)
_EXTRAS = re.compile(r"\s*\[[^\]]*\]\s*$")

#: Bytes to read of ``METADATA``: name and version are at its beginning.
METADATA_BYTES = 4096

#: Bytes to read of ``entry_points.txt``.
ENTRY_POINTS_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class InstalledPlugin:
    """One installed plugin, not imported; ``name`` is the name of its entry point.

    Attributes:
        target: ``module`` or ``module:attribute``.
        metadata: the distribution's ``.dist-info`` folder; empty if it is not on disk.
        degradable: the distribution declares that a service may run without it.
    """

    name: str
    distribution: str
    version: str
    target: str
    metadata: str = field(default="", compare=False)
    degradable: bool = field(default=False, compare=False)

    @property
    def who(self) -> str:
        """``plugin NAME (DISTRIBUTION VERSION)``, as messages name it."""
        return f"plugin {self.name} ({self.distribution} {self.version})"

    def load(self) -> Any:
        """Import and return the entry point's object; raise ConfigurationError if that fails."""
        return load(self.target, who=self.who, name=self.name)


def installed(path: Sequence[str] | None = None) -> tuple[InstalledPlugin, ...]:
    """Return every installed plugin, sorted by name, without importing any.

    A distribution that is found twice (an editable install and its source folder) is listed once:
    the first on the path, which an import would use. If *two* distributions have a plugin of the
    same name, both are listed, and neither can be enabled. ``path`` replaces ``sys.path``.
    """
    found: list[InstalledPlugin] = []
    seen: set[str] = set()
    for each in _distributions(GROUP, path):
        # Parsing the whole metadata would cost far more.
        title, version = _NAME.search(each.headers), _VERSION.search(each.headers)
        package = title[1].strip() if title else "(unnamed)"
        key = re.sub(r"[-_.]+", "-", package).lower()
        if key not in seen:
            seen.add(key)
            release = version[1].strip() if version else "(no version)"
            degradable = _group(each.points, DEGRADABLE)
            found += [
                InstalledPlugin(name, package, release, target, each.folder, name in degradable)
                for name, target in _group(each.points, GROUP).items()
            ]
    return tuple(sorted(found))


def targets(group: str) -> dict[str, str]:
    """Return name → target of a group's entry points, sorted; the first on ``sys.path`` counts."""
    found: dict[str, str] = {}
    for each in _distributions(group, None):
        found = _group(each.points, group) | found
    return dict(sorted(found.items()))


class _Distribution(NamedTuple):
    """A distribution: its ``entry_points.txt``, the beginning of its metadata, and their folder.

    ``folder`` is empty if the metadata are not in a folder, for example in a zip file.
    """

    points: str
    headers: str
    folder: str


def _distributions(group: str, path: Sequence[str] | None) -> Iterator[_Distribution]:
    """Yield the distributions with entry points of a group, in the order of the path."""
    section = re.compile(rf"^\s*\[\s*{re.escape(group)}\s*\]", re.MULTILINE)
    for entry in dict.fromkeys(sys.path if path is None else path):
        place = Path(entry)
        if place.is_dir():
            yield from _in_folder(place, section)
        elif place.exists():
            from importlib.metadata import distributions  # slower to import than to read folders

            yield from _by_importlib(distributions(path=[entry]), section)
    for finder in sys.meta_path if path is None else []:
        find = getattr(finder, "find_distributions", None)
        if find is not None and finder is not PathFinder:
            from importlib.metadata import DistributionFinder

            yield from _by_importlib(find(DistributionFinder.Context()), section)


def _in_folder(folder: Path, section: re.Pattern[str]) -> Iterator[_Distribution]:
    ends = (".dist-info", ".egg-info", ".egg")
    try:
        with os.scandir(folder) as entries:
            places = sorted(entry.path for entry in entries if entry.name.endswith(ends))
    except OSError:  # importlib.metadata ignores folders that it cannot read, too
        return
    for place in places:
        if place.endswith(".egg"):
            place += "/EGG-INFO"
        points = _read(f"{place}/entry_points.txt", ENTRY_POINTS_BYTES)
        if section.search(points):
            headers = _read(f"{place}/METADATA") or _read(f"{place}/PKG-INFO")
            yield _Distribution(points, headers, place)


def _by_importlib(distributions: Any, section: re.Pattern[str]) -> Iterator[_Distribution]:
    for distribution in distributions:
        points = distribution.read_text("entry_points.txt") or ""
        if section.search(points):
            headers = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
            place = getattr(distribution, "_path", None)
            folder = str(place) if isinstance(place, Path) else ""
            yield _Distribution(points, headers or "", folder)


def _read(path: str, size: int = METADATA_BYTES) -> str:
    """Return the first bytes of a file as text; empty if it cannot be read."""
    # PERF: there are hundreds of files; this takes three system calls each and no file object.
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(number, size).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(number)


def _group(text: str, group: str) -> dict[str, str]:
    """Return name → target of the entry points of one group."""
    found: dict[str, str] = {}
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line.strip("[] ") == group
        elif inside and "=" in line and not line.startswith("#"):
            name, _, target = line.partition("=")
            found[name.strip()] = _EXTRAS.sub("", target.strip())
    return found
