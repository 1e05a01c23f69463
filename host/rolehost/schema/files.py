"""Reads the migration files of a package, strictly, and writes new ones.

A file is named ``NNNN_name.sql``, or ``NNNN_name.sqlite.sql`` and ``NNNN_name.postgresql.sql``
if the dialects differ. The lines ``-- up`` and ``-- down`` begin the statements of each
direction. Two options may come before them: ``-- phase: post`` runs the migration after the rollout
of the code; ``-- transaction: none`` is for statements that cannot run in a transaction.
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
from pathlib import Path
from typing import Literal, NamedTuple, cast

from rolehost.errors import ConfigurationError, Problem, StartError
from rolehost.schema.statements import split

#: When a migration runs: before the code rolls out, or after the last old process has ended.
Phase = Literal["pre", "post"]

#: A set of migrations: its owner, and the import name of the package with the files.
Set = tuple[str, str]

_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)(?:\.(?P<dialect>[a-z]+))?\.sql")
_DIALECTS = ("sqlite", "postgresql")
_MARK = re.compile(r"^--[ \t]*(?P<mark>up|down)[ \t]*$", re.MULTILINE)
#: The options allowed before ``-- up``, with their values; the first value is the default.
_OPTIONS = {"phase": ("pre", "post"), "transaction": ("one", "none")}
_OPTION = re.compile(
    rf"^--[ \t]*(?P<name>{'|'.join(_OPTIONS)})[ \t]*:[ \t]*(?P<value>.*?)[ \t]*$", re.MULTILINE
)
_TEMPLATE = "-- phase: {phase}\n-- Say why this is needed.\n\n-- up\n\n\n-- down\n\n"


class SchemaError(ConfigurationError):
    """Migration files that cannot be used, or that were changed after they were applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration, for one dialect.

    ``number`` is its position in the owner's set, from 1. If ``alone``, its statements run one by
    one, outside of a transaction. ``location`` is package and file. ``checksum`` is the SHA-256 of
    the text with LF line ends, in hex.
    """

    owner: str
    number: int
    name: str
    phase: Phase
    alone: bool
    location: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    checksum: str

    @property
    def label(self) -> str:
        """Owner, number and name: ``rolehost/0001_delivery``."""
        return f"{self.owner}/{self.number:04d}_{self.name}"


def load(sets: Iterable[Set], dialect: str) -> tuple[Migration, ...]:
    """Read the migrations, in the order of the sets and of the numbers.

    Two owners must not share a package. If a file is for another dialect, only its name is checked.
    Raises SchemaError with every problem of every file.
    """
    problems: list[Problem] = []
    found: list[Migration] = []
    for owner, package in sets:
        reader = _Reader(owner, package, problems)
        found.extend(reader.migrations(dialect))
    if problems:
        raise SchemaError(problems)
    return tuple(found)


def outline(sets: Iterable[Set]) -> set[tuple[str, int, str, str]]:
    """Return owner, number, name and phase of every migration of all dialects, without checks."""
    found = set()
    for owner, package in sets:
        for file in _Reader(owner, package, []).files():
            head = _MARK.split(file.entry.read_bytes().decode(errors="replace"), maxsplit=1)[0]
            options = {match["name"]: match["value"] for match in _OPTION.finditer(head)}
            found.add((owner, file.number, file.name, options.get("phase", "pre")))
    return found


def new(
    package: str, name: str, *, dialects: tuple[str, ...] = (), phase: Phase = "pre"
) -> tuple[Path, ...]:
    """Write the next migration of a package, without statements yet; return the files.

    ``name`` becomes lower-case words joined by ``_``. Each of ``dialects`` gets a file; by default
    one file is for all dialects. Raises StartError if the package is not a writable folder, or if
    ``name`` has no letter or digit.
    """
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not words:
        raise StartError(f"{name!r} has no letter or digit: name the change")
    try:
        folder = resources.files(importlib.import_module(package))
    except ImportError as error:
        raise StartError(f"the package {package} cannot be imported: {error}") from error
    if not isinstance(folder, Path):
        raise StartError(f"the package {package} is not a folder: install it editable")
    numbers = [int(file.name[:4]) for file in folder.glob("[0-9][0-9][0-9][0-9]_*.sql")]
    stem = f"{max(numbers, default=0) + 1:04d}_{words}"
    files = [folder / f"{stem}.{dialect}.sql" for dialect in dialects] or [folder / f"{stem}.sql"]
    try:
        for file in files:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(_TEMPLATE.format(phase=phase))
    except OSError as error:
        raise StartError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return tuple(files)


class _File(NamedTuple):
    number: int
    name: str
    dialect: str
    entry: Traversable


class _ContentError(Exception):
    """A problem of a file's content: the sentence, expected, got, fix."""


class _Reader:
    """Reads one set, and adds its problems to a list."""

    def __init__(self, owner: str, package: str, problems: list[Problem]) -> None:
        self._owner = owner
        self._package = package
        self._problems = problems

    def _location(self, *files: Traversable) -> str:
        return "; ".join(f"{self._package}: {file.name}" for file in files)

    def _problem(self, code: str, where: str, what: str, expected: str, got: str, fix: str) -> None:
        problem = Problem(
            code=code, who=self._owner, where=where, what=what, expected=expected, got=got, fix=fix
        )
        self._problems.append(problem)

    def migrations(self, dialect: str) -> Iterator[Migration]:
        for file in self._choose(list(self.files()), dialect):
            migration = self._parse(file, dialect)
            if migration is not None:
                yield migration

    def files(self) -> Iterator[_File]:
        """Yield the files with valid names, sorted by name; report the other files."""
        try:
            folder = resources.files(importlib.import_module(self._package))
        except ImportError as error:
            self._problem(
                "migrations-missing",
                self._package,
                "the package with the migration files cannot be imported",
                "an importable package that holds .sql files",
                str(error),
                "correct Migrations(package=…), or list the package in the distribution",
            )
            return
        entries = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
        for entry in sorted(entries, key=lambda entry: entry.name):
            match = _NAME.fullmatch(entry.name)
            if match and match["number"] != "0000" and match["dialect"] in (None, *_DIALECTS):
                yield _File(int(match["number"]), match["name"], match["dialect"] or "", entry)
                continue
            self._problem(
                "migration-name",
                self._location(entry),
                "the file name is not valid for a migration",
                "NNNN_name.sql, NNNN_name.sqlite.sql or NNNN_name.postgresql.sql,"
                " counted from 0001, in lower case",
                entry.name,
                "rename the file",
            )

    def _choose(self, files: list[_File], dialect: str) -> list[_File]:
        """Return the files of a dialect, by number; report duplicates and gaps."""
        chosen: list[_File] = []
        for number, group in itertools.groupby(files, key=lambda file: file.number):
            variants = list(group)
            dialects = [file.dialect for file in variants]
            one_name = len({file.name for file in variants}) == 1
            unclear = len(set(dialects)) < len(dialects) or ("" in dialects and dialects[1:])
            if not one_name or unclear:
                self._problem(
                    "migration-duplicate",
                    self._location(*(file.entry for file in variants)),
                    f"several files have the number {number:04d}",
                    "one file for all dialects, or one file of the same name for each dialect",
                    ", ".join(file.entry.name for file in variants),
                    "renumber or remove one of the files",
                )
            chosen.extend([file for file in variants if file.dialect in ("", dialect)][:1])
        for position, file in enumerate(chosen, start=1):
            if file.number != position:
                self._problem(
                    "migration-gap",
                    self._location(file.entry),
                    f"there is a gap before number {file.number:04d}",
                    f"a migration {position:04d} for {dialect}",
                    file.entry.name,
                    "number the files 0001, 0002, … without gaps, for every dialect",
                )
                break
        return chosen

    def _parse(self, file: _File, dialect: str) -> Migration | None:
        location = self._location(file.entry)
        try:
            text = _text(file)
            head, body, back = _parts(text)
            options = _options(text, head)
            up, down = _statements(head, body, back, dialect)
        except _ContentError as refused:
            self._problem("migration-content", location, *refused.args)
            return None
        return Migration(
            owner=self._owner,
            number=file.number,
            name=file.name,
            phase=cast("Phase", options["phase"]),
            alone=options["transaction"] == "none",
            location=location,
            up=up,
            down=down,
            checksum=hashlib.sha256(text.encode()).hexdigest(),
        )


def _text(file: _File) -> str:
    try:
        return file.entry.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _ContentError(
            "the file cannot be read", "UTF-8 text", str(error), "fix the file"
        ) from error


def _parts(text: str) -> tuple[str, str, str]:
    """Return the parts of a text before ``-- up``, before ``-- down`` and after it."""
    marks = list(_MARK.finditer(text))
    if [mark["mark"] for mark in marks] != ["up", "down"]:
        raise _ContentError(
            "the parts of the migration are not marked",
            "a line `-- up`, then a line `-- down`, once each",
            ", ".join(f"-- {mark['mark']}" for mark in marks) or "neither",
            "put each line before the statements of its direction",
        )
    up, down = marks
    return text[: up.start()], text[up.end() : down.start()], text[down.end() :]


def _options(text: str, head: str) -> dict[str, str]:
    """Return the options, which are allowed only in the head."""
    options = {name: values[0] for name, values in _OPTIONS.items()}
    for name, values in _OPTIONS.items():
        in_head = [match["value"] for match in _OPTION.finditer(head) if match["name"] == name]
        got = [match["value"] for match in _OPTION.finditer(text) if match["name"] == name]
        if len(got) > 1 or got != in_head or not set(in_head) <= set(values):
            raise _ContentError(
                f"the option {name} is ambiguous or invalid",
                f"at most one line `-- {name}: {values[0]}` or `-- {name}: {values[1]}`,"
                " before `-- up`",
                ", ".join(got),
                "correct, move or remove the line",
            )
        options.update((name, value) for value in in_head)
    return options


def _statements(
    head: str, body: str, back: str, dialect: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    up, down = split(body, dialect), split(back, dialect)
    if split(head, dialect) or not up or not down:
        empty = [mark for mark, statements in (("up", up), ("down", down)) if not statements]
        raise _ContentError(
            "statements are missing or misplaced",
            "comments before `-- up`, and statements after both marks",
            f"no statement after `-- {empty[0]}`" if empty else "statements before `-- up`",
            "write the statements that apply and revert the migration",
        )
    return up, down
