"""Reads the migration files of a package, strictly.

A file is named ``NNNN_name.sql``, or ``NNNN_name.sqlite.sql`` and ``NNNN_name.postgresql.sql``
where the dialects differ. Its lines ``-- up`` and ``-- down`` begin the statements of each
direction. Before them may stand ``-- phase: post``, so that it runs after the code rolled out,
and ``-- transaction: none`` for statements that cannot run in one.
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

#: When a migration runs: before the code rolls out, or after the last of the old code is gone.
Phase = Literal["pre", "post"]

#: A set of migrations: who owns it, and the import name of the package with the files.
Set = tuple[str, str]

_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)(?:\.(?P<dialect>[a-z]+))?\.sql")
_DIALECTS = ("sqlite", "postgresql")
_MARK = re.compile(r"^--[ \t]*(?P<mark>up|down)[ \t]*$", re.MULTILINE)
#: What may be said before ``-- up``, with its values; the first is meant when it is not said.
_SAYINGS = {"phase": ("pre", "post"), "transaction": ("one", "none")}
_SAYING = re.compile(
    rf"^--[ \t]*(?P<name>{'|'.join(_SAYINGS)})[ \t]*:[ \t]*(?P<value>.*?)[ \t]*$", re.MULTILINE
)


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
        alone: its statements run one by one, outside of a transaction, where the database has
            statements that need it.
        site: package and file.
        up: statements that apply it.
        down: statements that take it back.
        checksum: SHA-256 of the text, in hex; line ends do not count.
    """

    owner: str
    number: int
    name: str
    phase: Phase
    alone: bool
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


def outline(sets: Iterable[Set]) -> set[tuple[str, int, str, str]]:
    """Return owner, number, name and phase of every migration, of all dialects.

    What :func:`load` would refuse is passed over: it is quick, and for comparing.
    """
    found = set()
    for owner, package in sets:
        try:
            folder = resources.files(importlib.import_module(package))
        except ImportError:
            continue
        for file in _named(folder, owner, package, []):
            head = _MARK.split(file.entry.read_bytes().decode(errors="replace"), maxsplit=1)[0]
            said = {match["name"]: match["value"] for match in _SAYING.finditer(head)}
            found.add((owner, file.number, file.name, said.get("phase", "pre")))
    return found


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


class _Wrong(Exception):
    """What is wrong with a file's content: what, expected, got, fix."""


def _parse(
    file: _File, owner: str, package: str, dialect: str, problems: list[Problem]
) -> Migration | None:
    site = f"{package}: {file.entry.name}"
    try:
        text = _text(file)
        head, body, back = _parts(text)
        said = _said(text, head)
        up, down = _statements(head, body, back, dialect)
    except _Wrong as wrong:
        what, expected, got, fix = wrong.args
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
        return None
    return Migration(
        owner=owner,
        number=file.number,
        name=file.name,
        phase=cast("Phase", said["phase"]),
        alone=said["transaction"] == "none",
        site=site,
        up=up,
        down=down,
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )


def _text(file: _File) -> str:
    try:
        return file.entry.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _Wrong(
            "the file cannot be read", "UTF-8 text", str(error), "mend the file"
        ) from error


def _parts(text: str) -> tuple[str, str, str]:
    """Divide a text before ``-- up``, before ``-- down`` and after it."""
    marks = list(_MARK.finditer(text))
    if [mark["mark"] for mark in marks] != ["up", "down"]:
        raise _Wrong(
            "the parts of the migration are not marked",
            "a line `-- up`, then a line `-- down`, once each",
            ", ".join(f"-- {mark['mark']}" for mark in marks) or "neither",
            "put each line before the statements of its direction",
        )
    up, down = marks
    return text[: up.start()], text[up.end() : down.start()], text[down.end() :]


def _said(text: str, head: str) -> dict[str, str]:
    """Return what the head says of phase and transaction."""
    said = {name: values[0] for name, values in _SAYINGS.items()}
    everywhere = [(match["name"], match["value"]) for match in _SAYING.finditer(text)]
    for name, values in _SAYINGS.items():
        told = [match["value"] for match in _SAYING.finditer(head) if match["name"] == name]
        got = [value for each, value in everywhere if each == name]
        if len(got) > 1 or got != told or not set(told) <= set(values):
            raise _Wrong(
                f"the {name} is not clear",
                f"at most one line `-- {name}: {values[0]}` or `-- {name}: {values[1]}`,"
                " before `-- up`",
                ", ".join(got),
                "correct, move or remove the line",
            )
        said.update((name, value) for value in told)
    return said


def _statements(
    head: str, body: str, back: str, dialect: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the statements of both directions."""
    up, down = split(body, dialect), split(back, dialect)
    if split(head, dialect) or not up or not down:
        empty = [mark for mark, statements in (("up", up), ("down", down)) if not statements]
        raise _Wrong(
            "statements are missing or misplaced",
            "comments before `-- up`, and statements after both marks",
            f"no statement after `-- {empty[0]}`" if empty else "statements before `-- up`",
            "write how it is applied and how it is taken back",
        )
    return up, down
