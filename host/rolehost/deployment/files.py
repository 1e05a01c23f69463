"""Reads the files of a deployment and its overrides into trees; each leaf has its origin."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolehost.deployment.lines import lines, unclosed
from rolehost.errors import Problem
from rolehost.messages import problem

#: Prefix of the environment variables that set one key: ``ROLEHOST__SECTION__KEY``.
PREFIX = "ROLEHOST__"

PLUGINS = "plugins"


class ProblemList(list[Problem]):
    """The problems of one deployment."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who

    def add(self, message: str, where: str, **values: Any) -> None:
        """Add a problem; see :func:`rolehost.messages.problem`."""
        self.append(problem(message, who=self.who, where=where, **values))


class Sources:
    """Reads each file of a deployment once; ``cached``: path → text that was read before.

    A restarted process reads the texts that were accepted at the start or at the last reload, not
    files that are being edited. The texts contain secrets, so they are in an anonymous file
    (without a path), which processes inherit.
    """

    def __init__(self, cached: Mapping[str, str] | None = None) -> None:
        self._texts = dict(cached or {})

    def text(self, path: Path) -> str:
        """Return the text of a file; raise OSError or UnicodeDecodeError."""
        key = os.path.normpath(path)
        if key not in self._texts:
            self._texts[key] = Path(path).read_text(encoding="utf-8")
        return self._texts[key]

    def write(self, number: int) -> None:
        """Write the texts that were read to a file descriptor."""
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(json.dumps(self._texts).encode())

    @classmethod
    def from_descriptor(cls, number: int) -> Sources:
        """Read the texts that :meth:`write` has written to a file descriptor."""
        # This is pread(2), because processes share the offset of the open file.
        return cls(json.loads(os.pread(number, os.fstat(number).st_size, 0)))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value as in the file: any TOML value except a table. Lists are leaves.

    Attributes:
        origin: ``file:line``, or the name of the override.
        folder: paths in ``${file:…}`` references of the value are relative to this folder.
        elements: origins of the elements of a list.
        from_toml: False for text of an environment variable; the type of the setting then decides
            how the text is decoded.
    """

    value: Any
    origin: str
    folder: Path = Path()
    elements: tuple[str, ...] = ()
    from_toml: bool = True


#: Tables by name; a leaf ends a branch.
Tree = dict[str, "Leaf | Tree"]


class Files:
    """Reads a file with its includes; ``tables``: dotted name → ``file:line`` of its header."""

    def __init__(self, sources: Sources, problems: ProblemList) -> None:
        self._sources = sources
        self._problems = problems
        self.tables: dict[str, str] = {}

    def tree(self, path: Path, chain: tuple[Path, ...] = ()) -> Tree:
        """Return the merged tree of a file: its includes in their order, then its own values.

        Later values win; lists are replaced, tables are merged. ``chain`` are the files that
        include this file, outermost first.
        """
        file = Path(os.path.normpath(path))
        if file in chain:
            circle = " -> ".join(map(str, (*chain[chain.index(file) :], file)))
            self._problems.add("include-cycle", str(chain[-1]), circle=circle)
            return {}
        text = self._text(file, chain)
        document = self._document(file, text)
        positions = lines(text) if document else {}
        merged: Tree = {}
        for name in self._includes(file, document, positions):
            merge(merged, self.tree(file.parent / name, (*chain, file)))
        merge(merged, self._branch(document, (), file, positions))
        return merged

    def _text(self, file: Path, chain: tuple[Path, ...]) -> str:
        try:
            return self._sources.text(file)
        except OSError as error:
            reason = error.strerror or str(error)
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error.reason}"
        where = f"{file}, included by {chain[-1]}" if chain else str(file)
        self._problems.add("unreadable-file", where, reason=reason)
        return ""

    def _document(self, file: Path, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            reason, _, position = str(error).partition(" (at ")
            line = position.removeprefix("line ").partition(",")[0]
            if not line.isdigit():  # "at end of document"
                line = str(unclosed(text))
            reason = f"{reason[:1].lower()}{reason[1:]}"
            self._problems.add("invalid-toml", f"{file}:{line}", error=error, reason=reason)
            return {}

    def _includes(
        self, file: Path, document: dict[str, Any], positions: Mapping[Any, int]
    ) -> Sequence[str]:
        included = document.pop("include", [])
        if isinstance(included, list) and all(isinstance(name, str) for name in included):
            return included
        where = f"{file}:{positions.get(('include',), 1)}"
        self._problems.add("wrong-type.include", where, got=repr(included))
        return []

    def _branch(
        self,
        table: Mapping[str, Any],
        above: tuple[str, ...],
        file: Path,
        positions: Mapping[tuple[str | int, ...], int],
    ) -> Tree:
        def location(path: tuple[str | int, ...]) -> str:
            # The keys of an inline table have no positions: use the line of the table.
            known = (path[:length] for length in range(len(path), 0, -1))
            return f"{file}:{next((positions[part] for part in known if part in positions), 1)}"

        tree: Tree = {}
        for key, value in table.items():
            path = (*above, key)
            if isinstance(value, dict):
                self.tables[".".join(path)] = location(path)
                tree[key] = self._branch(value, path, file, positions)
            else:
                count = len(value) if isinstance(value, list) else 0
                elements = tuple(location((*path, number)) for number in range(count))
                tree[key] = Leaf(value, location(path), file.parent, elements)
        return tree


def merge(into: Tree, later: Tree) -> None:
    """Merge ``later`` into ``into``, table by table; values of ``later`` win."""
    for key, value in later.items():
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            merge(present, value)
        else:
            into[key] = value


def from_environment(
    environ: Mapping[str, str], sections: Iterable[str], named: Collection[str] = ()
) -> Tree:
    """Return the overrides of the environment as a tree.

    ``ROLEHOST__SECTION__KEY=value`` sets one key. In the name of a known section (``sections``),
    ``_`` stands for ``-``. Another ``__`` begins a nested table. In a section with named tables
    (``named``) it stands for a dot of the name: ``ROLEHOST__ACTORS__SHOP__REPRICE__RATE`` sets the
    rate of the actor ``shop.reprice``. ``ROLEHOST__PLUGINS=a,b`` replaces the enabled plugins.
    """
    known = {name.lower().replace("-", "_"): name for name in sections}
    tree: Tree = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        words = [word for word in variable.removeprefix(PREFIX).lower().split("__") if word]
        origin = f"environment {variable}"
        if words == [PLUGINS]:
            tree[PLUGINS] = plugin_list(environ[variable].split(","), origin)
        elif words:
            if len(words) > 1:
                name = words[0].replace("-", "_")
                words[0] = known.get(name, words[0].replace("_", "-"))
            if words[0] in named and len(words) > 2:
                words = [words[0], ".".join(words[1:-1]), words[-1]]
            branch: Tree = {words[-1]: Leaf(environ[variable], origin, from_toml=False)}
            for word in reversed(words[:-1]):
                branch = {word: branch}
            merge(tree, branch)
    return tree


def plugin_list(names: Sequence[str], origin: str) -> Leaf:
    """Return the list of enabled plugins from an override."""
    cleaned = [name.strip() for name in names if name.strip()]
    return Leaf(cleaned, origin, elements=(origin,) * len(cleaned))
