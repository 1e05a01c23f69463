"""One statement for many rows of parameters, in few round trips."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rolehost_postgres.placeholders import many_rows

#: Maximum rows, and about the maximum bytes, that are sent together.
_MAX_ROWS = 1000
_MAX_BYTES = 4_194_304

#: Minimum number of rows for COPY, which costs one round trip more than INSERT.
_MIN_COPY_ROWS = 50

_TARGET = re.compile(
    r"\s*INSERT\s+INTO\s+(?P<table>[\w.\"]+)\s*(?P<columns>\([^()]*\))\s*VALUES\s*", re.IGNORECASE
)
#: Characters that COPY's text format escapes
#: (https://www.postgresql.org/docs/current/sql-copy.html, "Text Format").
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def run_many(cursor: Any, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a translated statement for each row.

    A plain INSERT becomes COPY if there are many rows, and otherwise one INSERT of several rows.
    Other statements are sent one after the other, without waiting for each answer.
    """
    parts = many_rows(sql)
    if parts is None:
        for texts in _pages(cursor, sql, rows):
            cursor.execute(b";".join(texts))
        return
    head, row, tail = parts
    target = _TARGET.fullmatch(head) if len(rows) >= _MIN_COPY_ROWS and not tail.strip() else None
    for start in range(0, len(rows), _MAX_ROWS):
        page = rows[start : start + _MAX_ROWS]
        text = _copy_text(page) if target is not None else None
        if target is not None and text is not None:
            copy = f"COPY {target['table']} {target['columns']} FROM STDIN"
            cursor.copy_expert(copy, io.StringIO(text))
            continue
        for texts in _pages(cursor, row, page):
            cursor.execute(head.encode() + b",".join(texts) + tail.encode())


def _copy_text(rows: Sequence[Sequence[Any]]) -> str | None:
    """Return rows in COPY's text format, or None if the driver must translate a value."""
    try:
        return "".join(
            ["\t".join([_WRITERS[type(value)](value) for value in row]) + "\n" for row in rows]
        )
    except (KeyError, ValueError):
        return None


def _escape(value: str) -> str:
    if "\0" in value:
        raise ValueError("a text cannot hold NUL")
    if not value.isascii():
        value.encode()  # raises for an unpaired surrogate
    return value.translate(_ESCAPES)


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: r"\N",
    bool: str,
    int: str,
    float: repr,
    str: _escape,
    bytes: lambda value: rf"\\x{value.hex()}",
}


def _pages(cursor: Any, template: str, rows: Sequence[Sequence[Any]]) -> Iterator[list[bytes]]:
    """Fill the template with each row, and group the texts by number and size."""
    texts: list[bytes] = []
    size = 0
    for row in rows:
        text: bytes = cursor.mogrify(template, tuple(row))
        if texts and (len(texts) >= _MAX_ROWS or size + len(text) > _MAX_BYTES):
            yield texts
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield texts
