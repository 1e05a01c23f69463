"""Parts of SQL texts that several modules need."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def marks(items: Collection[object]) -> str:
    """Return one ``?`` for each item."""
    return ", ".join("?" * len(items))


def array(numbers: Iterable[int]) -> str:
    """Return PostgreSQL's text of an array
    (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO)."""
    return "{" + ",".join(map(str, numbers)) + "}"
