"""Reads the migration files of a package, strictly.

A file is named ``NNNN_name.sql``, or ``NNNN_name.sqlite.sql`` and ``NNNN_name.postgresql.sql``
where the dialects differ. Its lines ``-- up`` and ``-- down`` begin the statements of each
direction; ``-- phase: post``, before them, makes it run after the code rolled out.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal, NamedTuple, cast

from rolehost.errors import ConfigurationError, Problem
from rolehost.schema.statements import split

Phase = Literal["pre", "post"]

#: A set of migrations: who owns it, and the import name of the package with the files.
Set = tuple[str, str]

_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)(?:\.(?P<dialect>[a-z]+))?\.sql")
_DIALECTS = ("sqlite", "postgresql")
_MARK = re.compile(r"^--[ \t]*(?P<mark>up|down)[ \t]*$", re.MULTILINE)
_PHASE = re.compile(r"^--[ \t]*phase[ \t]*:[ \t]*(?P<phase>.*?)[ \t]*$", re.MULTILINE)


class SchemaError(ConfigurationError):
    """Migration files that cannot be used, or that no longer are what was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration, for one dialect.

    Attributes:
        owner: the plugin, or ``rolehost``.
        number: position in the owner's set, from 1.
        name: what it does, as in the file's name.
        phase: ``pre`` runs before the code rolls out, ``post`` after it.
        site: package and file.
        up: statements that apply it.
        down: statements that take it back.
        checksum: SHA-256 of the text, in hex; line ends do not count.
    """

    owner: str
    number: int
    name: str
    phase: Phase
    site: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    checksum: str

    @property
    def label(self) -> str:
        """Owner, number and name as people write them: ``rolehost/0001_delivery``."""
        return f"{self.owner}/{self.number:04d}_{self.name}"


def load(sets: Iterable[Set], dialect: str) -> tuple[Migration, ...]:
    """Read the sets in their order, each by number.

    Args:
        sets: owner and package of each; packages may be the same for no two owners.
        dialect: ``sqlite`` or ``postgresql``; files of the other one are only checked by name.

    Raises:
        SchemaError: every problem of every file, at once.
    """
    problems: list[Problem] = []
    found: list[Migration] = []
    for owner, package in sets:
        found.extend(_load_set(owner, package, dialect, problems))
    if problems:
        raise SchemaError(problems)
    return tuple(found)


def _load_set(
    owner: str, package: str, dialect: str, problems: list[Problem]
) -> Iterator[Migration]:
    try:
        folder = resources.files(importlib.import_module(package))
    except ImportError as error:
        problems.append(
            Problem(
                code="migrations-missing",
                who=owner,
                where=package,
                what="the package with the migration files cannot be imported",
                expected="an importable package that holds .sql files",
                got=str(error),
                fix="correct Migrations(package=…), or list the package in the distribution",
            )
        )
        return
    files = list(_named(folder, owner, package, problems))
    for file in _chosen(files, owner, package, dialect, problems):
        migration = _parse(file, owner, package, dialect, problems)
        if migration is not None:
            yield migration


class _File(NamedTuple):
    number: int
    name: str
    dialect: str
    entry: Traversable


def _named(
    folder: Traversable, owner: str, package: str, problems: list[Problem]
) -> Iterator[_File]:
    """Return the files whose names are right, by name."""
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    for entry in sorted(entries, key=lambda entry: entry.name):
        match = _NAME.fullmatch(entry.name)
        if match and match["number"] != "0000" and match["dialect"] in (None, *_DIALECTS):
            number = int(match["number"])
            yield _File(number, match["name"], match["dialect"] or "", entry)
        else:
            problems.append(
                Problem(
                    code="migration-name",
                    who=owner,
                    where=f"{package}: {entry.name}",
                    what="this is no name of a migration file",
                    expected="NNNN_name.sql, NNNN_name.sqlite.sql or NNNN_name.postgresql.sql,"
                    " counted from 0001, in lower case",
                    got=entry.name,
                    fix="rename the file",
                )
            )


def _chosen(
    files: list[_File], owner: str, package: str, dialect: str, problems: list[Problem]
) -> list[_File]:
    """Return what this dialect runs, by number; complain of duplicates and gaps."""
    chosen: list[_File] = []
    for number, group in itertools.groupby(files, key=lambda file: file.number):
        variants = list(group)
        dialects = [file.dialect for file in variants]
        one_name = len({file.name for file in variants}) == 1
        if not one_name or len(set(dialects)) < len(dialects) or ("" in dialects and dialects[1:]):
            names = [file.entry.name for file in variants]
            problems.append(
                Problem(
                    code="migration-duplicate",
                    who=owner,
                    where="; ".join(f"{package}: {name}" for name in names),
                    what=f"several files have the number {number:04d}",
                    expected="one file for all dialects, or one of the same name for each",
                    got=", ".join(names),
                    fix="renumber or remove one of them",
                )
            )
        chosen.extend([file for file in variants if file.dialect in ("", dialect)][:1])
    for position, file in enumerate(chosen, start=1):
        if file.number != position:
            problems.append(
                Problem(
                    code="migration-gap",
                    who=owner,
                    where=f"{package}: {file.entry.name}",
                    what=f"there is a gap before number {file.number:04d}",
                    expected=f"a migration {position:04d} for {dialect}",
                    got=file.entry.name,
                    fix="number the files 0001, 0002, … without gaps, for every dialect",
                )
            )
            break
    return chosen


def _parse(
    file: _File, owner: str, package: str, dialect: str, problems: list[Problem]
) -> Migration | None:
    site = f"{package}: {file.entry.name}"

    def wrong(what: str, expected: str, got: str, fix: str) -> None:
        problems.append(
            Problem(
                code="migration-content",
                who=owner,
                where=site,
                what=what,
                expected=expected,
                got=got,
                fix=fix,
            )
        )

    try:
        text = file.entry.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        wrong("the file cannot be read", "UTF-8 text", str(error), "mend the file")
        return None
    marks = list(_MARK.finditer(text))
    if [mark["mark"] for mark in marks] != ["up", "down"]:
        got = ", ".join(f"-- {mark['mark']}" for mark in marks) or "neither"
        wrong(
            "the parts of the migration are not marked",
            "a line `-- up`, then a line `-- down`, once each",
            got,
            "put each line before the statements of its direction",
        )
        return None
    head, body = text[: marks[0].start()], text[marks[0].end() : marks[1].start()]
    phases = [match["phase"] for match in _PHASE.finditer(text)]
    told = _PHASE.search(head)
    phase = told["phase"] if told else "pre"
    if phase not in ("pre", "post") or len(phases) > (1 if told else 0):
        wrong(
            "the phase is not clear",
            "at most one line `-- phase: pre` or `-- phase: post`, before `-- up`",
            ", ".join(phases),
            "correct, move or remove the line",
        )
        return None
    parts = {"up": split(body, dialect), "down": split(text[marks[1].end() :], dialect)}
    if split(head, dialect) or not all(parts.values()):
        empty = [mark for mark, statements in parts.items() if not statements]
        wrong(
            "statements are missing or misplaced",
            "comments before `-- up`, and statements after both marks",
            f"no statement after `-- {empty[0]}`" if empty else "statements before `-- up`",
            "write how it is applied and how it is taken back",
        )
        return None
    return Migration(
        owner=owner,
        number=file.number,
        name=file.name,
        phase=cast("Phase", phase),
        site=site,
        up=parts["up"],
        down=parts["down"],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )
