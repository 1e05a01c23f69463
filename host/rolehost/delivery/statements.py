"""Parts of SQL texts that several modules need."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def marks(items: Collection[object]) -> str:
    """Return one ``?`` for each item."""
    return ", ".join("?" * len(items))


def array(values: Iterable[int | None]) -> str:
    """Return PostgreSQL's text of an array
    (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO)."""
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"


def among(dialect: str) -> str:
    """Return the condition that an integer is in a list; its parameter is made by :func:`numbers`.

    PERF: one text for any number of integers. PostgreSQL cannot see how many there are, so its
    planner never prefers a scan of the table to its index.
    """
    if dialect == "sqlite":
        return "IN (SELECT value FROM json_each(?))"
    return "= ANY(ARRAY(SELECT unnest(CAST(? AS BIGINT[]))))"


def numbers(dialect: str, values: Iterable[int]) -> str:
    """Return the parameter of :func:`among`."""
    return f"[{','.join(map(str, values))}]" if dialect == "sqlite" else array(values)
