"""One statement for many rows of parameters, in few round trips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rolehost_postgres.placeholders import many_rows

#: Most rows, and about how many bytes, that go to the server at once.
_ROWS = 1000
_BYTES = 4_194_304


def run_many(cursor: Any, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a translated statement for each row.

    A plain INSERT becomes one of several rows; other statements are sent one after the other,
    without waiting for each answer.
    """
    parts = many_rows(sql)
    if parts is None:
        for texts in _pages(cursor, sql, rows):
            cursor.execute(b";".join(texts))
        return
    head, row, tail = (part.encode() for part in parts)
    for texts in _pages(cursor, row.decode(), rows):
        cursor.execute(head + b",".join(texts) + tail)


def _pages(cursor: Any, template: str, rows: Sequence[Sequence[Any]]) -> Iterator[list[bytes]]:
    """Fill the template with each row, and group the texts by number and size."""
    texts: list[bytes] = []
    size = 0
    for row in rows:
        text: bytes = cursor.mogrify(template, tuple(row))
        if texts and (len(texts) >= _ROWS or size + len(text) > _BYTES):
            yield texts
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield texts
