"""Entry points of the group ``rolehost``, read from the metadata of installed distributions.

Source: the entry points and the core metadata specifications of packaging.python.org. Folders
of the path are read here and not by :mod:`importlib.metadata`, which makes objects of every
distribution: of hundreds, most have nothing for us. What is no folder is left to it.
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

from rolehost.api.hooks import GROUP
from rolehost.discovery.loading import load
from rolehost.errors import Who

#: Group in which a distribution says of its plugins, by name, that a service may go on without
#: them: that they give no security middleware. Read without importing anything.
DEGRADABLE = f"{GROUP}.degradable"

_GROUPS = (GROUP, DEGRADABLE)
_NAME = re.compile(r"^name:(.*)$", re.MULTILINE | re.IGNORECASE)
_VERSION = re.compile(r"^version:(.*)$", re.MULTILINE | re.IGNORECASE)
_EXTRAS = re.compile(r"\s*\[[^\]]*\]\s*$")

#: Bytes of ``METADATA`` in which name and version stand.
HEAD = 4096

#: Bytes of ``entry_points.txt`` that are looked at.
LARGEST = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One installed plugin, not imported.

    Attributes:
        name: name of the entry point, and so of the plugin.
        distribution: the package that ships it.
        version: that package's version.
        target: what the entry point names: ``module`` or ``module:attribute``.
        metadata: the distribution's ``.dist-info`` folder; empty where there is none on disk.
        degradable: the distribution says that a service may go on without it.
    """

    name: str
    distribution: str
    version: str
    target: str
    metadata: str = field(default="", compare=False)
    degradable: bool = field(default=False, compare=False)

    @property
    def who(self) -> Who:
        """``plugin NAME (DISTRIBUTION VERSION)``, as messages name it."""
        return Who(f"plugin {self.name} ({self.distribution} {self.version})", [self.name])

    def load(self) -> Any:
        """Import the plugin and return the object that its entry point names.

        Raises:
            ConfigurationError: importing it raised, or the attribute is not there.
        """
        return load(self.target, who=self.who, name=self.name)


def installed(path: Sequence[str] | None = None) -> tuple[Found, ...]:
    """Return every installed plugin, sorted by name, without importing any.

    A distribution that is seen twice (an editable install beside its own source folder) counts
    once: the first on the path, which is the one an import would take. One name in *two*
    distributions stays twice in the result; composing refuses it when it is enabled.

    Args:
        path: folders to search instead of ``sys.path``.
    """
    found: list[Found] = []
    seen: set[str] = set()
    for texts in _candidates(GROUP, path):
        name, version = _identity(texts.headers)
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        groups = _groups(texts.points, _GROUPS)
        found.extend(
            Found(plugin, name, version, target, texts.place, plugin in groups[DEGRADABLE])
            for plugin, target in groups[GROUP].items()
        )
    return tuple(sorted(found))


def targets(group: str) -> dict[str, str]:
    """Return name → target of the installed entry points of a group, sorted by name.

    Of one name in several distributions, the first on ``sys.path`` counts.
    """
    found: dict[str, str] = {}
    for texts in _candidates(group, None):
        for name, target in _groups(texts.points, [group])[group].items():
            found.setdefault(name, target)
    return dict(sorted(found.items()))


class _Texts(NamedTuple):
    """What is read of a distribution that has plugins.

    Attributes:
        points: its ``entry_points.txt``.
        headers: the beginning of its metadata.
        place: the folder of both; empty: not on disk.
    """

    points: str
    headers: str
    place: str


def _candidates(group: str, path: Sequence[str] | None) -> Iterator[_Texts]:
    """Yield the distributions with entry points of a group, in the order of the path."""
    section = re.compile(rf"^\s*\[\s*{re.escape(group)}\s*\]", re.MULTILINE)
    for entry in dict.fromkeys(sys.path if path is None else path):
        place = Path(entry)
        if place.is_dir():
            yield from _in_folder(place, section)
        elif place.exists():
            from importlib.metadata import distributions  # costs a start more than the folders do

            yield from _told(distributions(path=[entry]), section)
    finders = sys.meta_path if path is None else []
    for finder in finders:
        find = getattr(finder, "find_distributions", None)
        if find is not None and finder is not PathFinder:
            from importlib.metadata import DistributionFinder

            yield from _told(find(DistributionFinder.Context()), section)


def _in_folder(folder: Path, section: re.Pattern[str]) -> Iterator[_Texts]:
    try:
        with os.scandir(folder) as entries:
            places = [entry.path for entry in entries if entry.name.endswith(_ENDS)]
    except OSError:  # not ours to read, as importlib.metadata sees it
        return
    for place in sorted(places):
        if place.endswith(".egg"):
            place += "/EGG-INFO"
        points = _read(f"{place}/entry_points.txt")
        if points and section.search(points):
            headers = _read(f"{place}/METADATA", HEAD) or _read(f"{place}/PKG-INFO", HEAD)
            yield _Texts(points, headers, place)


#: Names of folders with metadata.
_ENDS = (".dist-info", ".egg-info", ".egg")


def _told(distributions: Any, section: re.Pattern[str]) -> Iterator[_Texts]:
    for distribution in distributions:
        points = distribution.read_text("entry_points.txt")
        if points and section.search(points):
            headers = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
            place = getattr(distribution, "_path", None)
            yield _Texts(points, headers or "", str(place) if isinstance(place, Path) else "")


def _read(path: str, size: int = LARGEST) -> str:
    """Return the first bytes of a file as text; empty when there is none to be read."""
    # PERF: of hundreds of files, three system calls each and no file objects.
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


def _groups(text: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return group → name → target of the entry points of some groups."""
    groups: dict[str, dict[str, str]] = {group: {} for group in names}
    current: dict[str, str] | None = None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            current = groups.get(line.strip("[] "))
        elif current is not None and line and not line.startswith("#"):
            name, equals, target = line.partition("=")
            if equals:
                current[name.strip()] = _EXTRAS.sub("", target.strip())
    return groups


def _identity(text: str) -> tuple[str, str]:
    """Return name and version from the headers; parsing the whole metadata costs far more."""
    name, version = _NAME.search(text), _VERSION.search(text)
    return (
        name[1].strip() if name else "(unnamed)",
        version[1].strip() if version else "(no version)",
    )
