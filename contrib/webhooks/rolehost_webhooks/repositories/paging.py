"""Keyset pagination: a page starts after the last id seen, so it is stable while rows are added.

A page has a maximum number of rows and of bytes. The statement sums the sizes of the rows first,
so that the database does not send payloads that do not fit on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import peewee

from rolehost_webhooks.repositories.ordering import exclude_uncommitted

T = TypeVar("T")

#: Bytes of texts and payloads after which a page ends. The row that exceeds the limit is still
#: on the page, so that a single larger row can be read.
PAGE_BYTES = 4_194_304


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page starts.

    Attributes:
        limit: maximum number of rows of the page.
        iterator: the id after which the page starts, with a leading ``~`` if the id begins with
            a hyphen. With a leading ``-``, the id before which the page ends. None starts at
            the beginning.
        descending: newest first.
        exact: do not miss rows that are added during paging. On PostgreSQL this may wait for
            transactions that are adding rows.
    """

    limit: int
    iterator: str | None
    descending: bool
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of a page, whether it is the last, and the iterators of its neighbours."""

    data: list[T]
    iterator: str | None
    prev_iterator: str | None
    done: bool


def page(select: Any, column: peewee.Field, cursor: Cursor, key: Callable[[Any], str]) -> Page[Any]:
    """Run a select for one page, ordered by ``column``.

    Args:
        key: returns the value of ``column`` of a row.
    """
    backwards = cursor.iterator is not None and cursor.iterator.startswith("-")
    descending = cursor.descending != backwards
    if cursor.iterator is not None:
        start = cursor.iterator.removeprefix("-" if backwards else "~")
        select = select.where(column < start if descending else column > start)
    if cursor.exact:
        select = exclude_uncommitted(select, column)
    rows = list(_limit_size(select, column, cursor.limit, descending=descending))
    # The statement looks for one key more than the page has rows.
    done = not rows or rows[0].found == len(rows)
    if backwards:
        rows.reverse()
    if not rows:
        return Page([], None, None, done)
    return Page(rows, after(key(rows[-1])), "-" + key(rows[0]), done)


def after(key: str) -> str:
    """Return the iterator for the items after a key; a leading hyphen would mean "before"."""
    return "~" + key if key.startswith("-") else key


def _limit_size(select: Any, column: peewee.Field, limit: int, *, descending: bool) -> Any:
    """Return the first rows that fit on a page; ``found`` is the number of keys found."""
    keys = select.select(column.alias("at"), size_of(select).alias("size"))
    keys = keys.order_by(column.desc() if descending else column.asc()).limit(limit + 1)
    at = keys.c.at.desc() if descending else keys.c.at.asc()
    counted = peewee.Select(
        [keys],
        [
            keys.c.at,
            peewee.fn.ROW_NUMBER().over(order_by=[at]).alias("place"),
            (peewee.fn.SUM(keys.c.size).over(order_by=[at]) - keys.c.size).alias("before"),
            peewee.fn.COUNT(keys.c.at).over().alias("found"),
        ],
    )
    return (
        select.select_extend(counted.c.found.alias("found"))
        .join_from(select.model, counted, on=(column == counted.c.at))
        .where(counted.c.place <= limit, counted.c.before < PAGE_BYTES)
        .order_by(column.desc() if descending else column.asc())
    )


def size_of(select: Any) -> peewee.Expression:
    """Return an expression for the size of the texts and payloads of a selected row.

    Payloads count in bytes, texts in characters, which have up to four bytes each.
    """
    long = (peewee.TextField, peewee.BlobField)
    columns = [column for column in select._returning if isinstance(column, long)]
    first, *others = [peewee.fn.COALESCE(peewee.fn.LENGTH(column), 0) for column in columns]
    total: peewee.Expression = sum(others, start=first)
    return total


def lock_rows(select: Any) -> Any:
    """Return a select that locks its rows until the transaction ends.

    Lock a row before a change that depends on its values, to prevent lost updates. SQLite
    allows one writer at a time and needs no lock.
    """
    return select.for_update() if select.model._meta.database.for_update else select


def by_id(row: Any) -> str:
    """Return the key of a row that is listed by its id."""
    return str(row.id)
