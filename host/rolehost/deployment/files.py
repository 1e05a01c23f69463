"""One deployment file and what it includes, as a tree whose leaves know their origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rolehost.deployment.lines import lines
from rolehost.deployment.sources import Sources
from rolehost.errors import Problem


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value as it was written.

    Attributes:
        value: anything TOML has but a table of its own; lists are leaves.
        origin: ``file:line``, or the name of what overrode it.
        folder: what relative ``${file:…}`` references in it start from.
        elements: origins of the elements of a list.
        typed: False when it was written as text outside TOML, so that its setting's type
            decides what it is.
    """

    value: Any
    origin: str
    folder: Path
    elements: tuple[str, ...] = ()
    typed: bool = True


#: Tables by name; a leaf ends a branch.
Tree = dict[str, "Leaf | Tree"]


@dataclass(slots=True)
class Files:
    """Reads a file with its includes.

    Attributes:
        problems: every mistake met so far.
        tables: dotted name of a table → ``file:line`` of its header.
        sources: gives the texts.
    """

    problems: list[Problem]
    tables: dict[str, str]
    sources: Sources = field(default_factory=Sources)

    def tree(self, path: Path, chain: tuple[Path, ...] = ()) -> Tree:
        """Return the merged tree of a file: includes in their order, then its own values.

        Later values win; lists are replaced, tables merged.

        Args:
            path: the file.
            chain: the files that included it, outermost first.
        """
        normal = Path(os.path.normpath(path))
        if normal in chain:
            circle = " -> ".join(map(str, (*chain[chain.index(normal) :], normal)))
            self.problems.append(_cycle(chain, circle))
            return {}
        read = self._read(normal, chain)
        if read is None:
            return {}
        document, positions = read
        included = document.pop("include", [])
        merged: Tree = {}
        if isinstance(included, list) and all(isinstance(name, str) for name in included):
            for name in included:
                merge(merged, self.tree(normal.parent / name, (*chain, normal)))
        else:
            where = f"{normal}:{positions.get(('include',), 1)}"
            self.problems.append(_include_type(normal, where, included))
        merge(merged, self._branch(document, (), normal, positions))
        return merged

    def _read(
        self, path: Path, chain: tuple[Path, ...]
    ) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]] | None:
        try:
            text = self.sources.text(path)
            document = tomllib.loads(text)
        except OSError as error:
            self.problems.append(_unreadable(path, chain, error.strerror or str(error)))
        except UnicodeDecodeError as error:
            self.problems.append(_unreadable(path, chain, f"not UTF-8: {error.reason}"))
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax(path, str(error)))
        else:
            return document, lines(text)
        return None

    def _branch(
        self,
        table: Mapping[str, Any],
        above: tuple[str | int, ...],
        file: Path,
        positions: Mapping[tuple[str | int, ...], int],
    ) -> Tree:
        tree: Tree = {}
        for key, value in table.items():
            path = (*above, key)
            origin = f"{file}:{positions.get(path, 1)}"
            if isinstance(value, dict):
                self.tables[".".join(map(str, path))] = origin
                tree[key] = self._branch(value, path, file, positions)
            else:
                count = len(value) if isinstance(value, list) else 0
                elements = tuple(
                    f"{file}:{positions.get((*path, number), 1)}" for number in range(count)
                )
                tree[key] = Leaf(value, origin, file.parent, elements)
        return tree


def merge(into: Tree, later: Tree) -> None:
    """Put the values of ``later`` over those of ``into``, table by table."""
    for key, value in later.items():
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            merge(present, value)
        else:
            into[key] = value


def _cycle(chain: tuple[Path, ...], circle: str) -> Problem:
    return Problem(
        code="include-cycle",
        who=f"deployment {chain[0]}",
        where=str(chain[-1]),
        what="files include each other in a circle",
        expected="includes that end",
        got=circle,
        fix="take one of these includes out",
    )


def _include_type(path: Path, where: str, got: object) -> Problem:
    return Problem(
        code="wrong-type",
        who=f"deployment {path}",
        where=where,
        what="include is not a list of files",
        expected='a list of paths, relative to this file: include = ["base.toml"]',
        got=repr(got),
        fix="write the paths as text in a list",
    )


def _unreadable(path: Path, chain: tuple[Path, ...], reason: str) -> Problem:
    return Problem(
        code="unreadable-file",
        who=f"deployment {(*chain, path)[0]}",
        where=f"{path}, included by {chain[-1]}" if chain else str(path),
        what="the file cannot be read",
        expected="a readable TOML file in UTF-8",
        got=reason,
        fix="correct the path or the file's permissions",
    )


def _syntax(path: Path, message: str) -> Problem:
    reason, _, position = message.partition(" (at ")
    line = position.removeprefix("line ").partition(",")[0]
    return Problem(
        code="invalid-toml",
        who=f"deployment {path}",
        where=f"{path}:{line}" if line.isdigit() else str(path),
        what="the file is not TOML",
        expected="TOML 1.0: tables in [brackets], key = value, text in quotes",
        got=message,
        fix=f"correct the line: {reason[:1].lower()}{reason[1:]}",
    )
