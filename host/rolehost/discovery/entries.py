"""Entry points of the group ``rolehost``, read from the metadata of installed distributions.

Source: the entry points specification of packaging.python.org. Most distributions have nothing
for us, so the text of ``entry_points.txt`` is looked at before anything is parsed.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rolehost.api.hooks import GROUP
from rolehost.discovery.loading import load

_SECTION = re.compile(rf"^\s*\[\s*{GROUP}\s*\]", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One installed plugin, not imported.

    Attributes:
        name: name of the entry point, and so of the plugin.
        distribution: the package that ships it.
        version: that package's version.
        target: what the entry point names: ``module`` or ``module:attribute``.
    """

    name: str
    distribution: str
    version: str
    target: str

    @property
    def who(self) -> str:
        """``plugin NAME (DISTRIBUTION VERSION)``, as messages name it."""
        return f"plugin {self.name} ({self.distribution} {self.version})"

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
    for distribution in _candidates(path):
        name, version = _identity(distribution)
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        found.extend(
            Found(entry.name, name, version, entry.value)
            for entry in distribution.entry_points
            if entry.group == GROUP
        )
    return tuple(sorted(found))


def _candidates(path: Sequence[str] | None) -> Iterator[importlib.metadata.Distribution]:
    if path is None:
        distributions = importlib.metadata.distributions()
    else:
        distributions = importlib.metadata.distributions(path=list(path))
    for distribution in distributions:
        text = distribution.read_text("entry_points.txt")
        if text and _SECTION.search(text):
            yield distribution


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return name and version from the headers; parsing the whole metadata costs far more."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    headers: dict[str, str] = {}
    for line in text.splitlines():
        if not line:
            break
        key, separator, value = line.partition(":")
        if separator:
            headers.setdefault(key.lower(), value.strip())
    return headers.get("name", "(unnamed)"), headers.get("version", "(no version)")
