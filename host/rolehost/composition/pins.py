"""Pins: the distributions that a deployment was tested with, by version and content hash.

The hash covers the files in the distribution's ``RECORD`` as they are on disk, so that changes
after the installation are detected too. Files that differ between installations are left
out: byte code, scripts outside of the packages, :data:`NOTES`. Sources: the specifications
"Recording installed projects" and "Binary distribution format" of packaging.python.org.

Pins find drift and accidents before anything is imported. They do not protect against a user with
write access to the installed files, because that user may change Python itself.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rolehost.composition.problems import Problems
from rolehost.discovery import InstalledPlugin

#: Files of a ``.dist-info`` folder that describe the installation and not the content.
NOTES = frozenset(
    {"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"}
)

COMMAND = "rolehost plugins --pin"


class CannotPin(Exception):
    """A distribution cannot be pinned; the message says why."""


class Pin(NamedTuple):
    """The distribution of a plugin: ``hash`` is ``sha256:`` and the digest of its content."""

    distribution: str
    version: str
    hash: str


def pin(found: InstalledPlugin) -> Pin:
    """Return a plugin's pin; raise CannotPin if it is editable or not installed from a wheel."""
    if _is_editable(found):
        raise CannotPin("it is an editable install, whose files may change at any time")
    total = hashlib.sha256()
    for name, _, path in _files(found):
        total.update(f"{name} {hashlib.sha256(_read(path)).hexdigest()}\n".encode())
    return Pin(found.distribution, found.version, f"sha256:{total.hexdigest()}")


def _changed(found: InstalledPlugin) -> Iterator[str]:
    """Yield a text for each file that differs from ``RECORD`` or cannot be read."""
    for _, recorded, path in _files(found):
        try:
            digest = hashlib.sha256(_read(path)).digest()
        except CannotPin as error:
            yield str(error)
            continue
        encoded = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if recorded.startswith("sha256=") and recorded != f"sha256={encoded}":
            yield f"{path} was changed"


class Pins:
    """The pins of one deployment. Without ``[deployment] pins``, nothing is pinned."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.path = problems.deployment.host.deployment.pins
        self._pins = self._read(self.path) if self.path is not None else None
        self._seen: dict[str, Pin] = {}

    def allow(self, found: InstalledPlugin) -> bool:
        """Return whether a plugin has its pinned content; if not, add a problem."""
        if self.path is None:
            return True
        if self._pins is None:
            return False
        wanted = self._pins.get(found.name)
        if wanted is None:
            pinned = ", ".join(sorted(self._pins)) or "none"
            self._add("unpinned-plugin", found, pinned=pinned)
            return False
        try:
            actual = self._seen.get(found.metadata) or pin(found)
        except CannotPin as error:
            got, fix = str(error), "install it from its wheel again"
        else:
            self._seen[found.metadata] = actual
            if actual == wanted:
                return True
            got = f"{actual.distribution} {actual.version}"
            again = ""
            if actual[:2] == wanted[:2]:
                got, again = "; ".join(_changed(found)) or f"another build of {got}", " again"
            fix = f"install {wanted.distribution}=={wanted.version}{again}, or {COMMAND}"
        self._add("changed-plugin", found, got=got, fix=fix, **wanted._asdict())
        return False

    def _add(self, message: str, found: InstalledPlugin, **values: str) -> None:
        where = f"{self.path}; {self._problems.enabled_at(found.name)}"
        self._problems.add(message, where, who=found.who, name=found.name, **values)

    def _read(self, path: Path) -> dict[str, Pin] | None:
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
            return {name: Pin(**table) for name, table in tables.items()}
        except OSError as error:
            got = error.strerror or str(error)
        except (ValueError, TypeError) as error:  # not TOML, not UTF-8, other keys
            got = str(error)
        where = self._problems.at("deployment.pins")
        self._problems.add("unreadable-pins", where, path=path, error=got)
        return None


def render(pins: Mapping[str, Pin]) -> str:
    """Return the text of a file of pins, sorted by plugin."""
    lines = [f"# Written by `{COMMAND}`: the distributions of the enabled plugins."]
    for name, each in sorted(pins.items()):
        lines += ["", f"[{json.dumps(name)}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in each._asdict().items()]
    return "\n".join(lines) + "\n"


def _files(found: InstalledPlugin) -> Iterator[tuple[str, str, Path]]:
    """Yield (name, digest, path) of each file in ``RECORD``, sorted; CannotPin without a RECORD."""
    folder = Path(found.metadata)
    try:
        text = (folder / "RECORD").read_text("utf-8")
    except OSError:
        raise CannotPin(f"{found.metadata or found.target} has no RECORD of its files") from None
    for row in filter(None, sorted(csv.reader(text.splitlines()))):
        name, digest, *_ = [*row, ""]
        parts = Path(name).parts
        outside = ".." in parts or name.startswith("/")
        note = len(parts) == 2 and parts[0] == folder.name and parts[1] in NOTES
        if not outside and not note and not name.endswith(".pyc"):
            yield name, digest, folder.parent / name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotPin(f"{path} cannot be read: {error.strerror}") from None


def _is_editable(found: InstalledPlugin) -> bool:
    try:
        written: Any = json.loads((Path(found.metadata) / "direct_url.json").read_text("utf-8"))
        return bool(written.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, AttributeError):
        return False
