"""Pages of a listing, walked by the last id seen: stable while rows are added.

A page is bounded by rows and by bytes. The statement adds up the sizes of the rows before it
reads them, so that no payload leaves the database that the page has no place for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import peewee

from rolehost_webhooks.repositories.ordering import settled

T = TypeVar("T")

#: Bytes of texts and payloads after which a page ends. The row that passes it is still on the
#: page, so that a single larger one can be read.
PAGE_BYTES = 4_194_304


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page begins.

    Attributes:
        limit: most rows of the page.
        iterator: id after which it begins, with a leading ``~`` if it begins with a hyphen;
            with a leading ``-`` the id before which it ends; None begins at the start.
        descending: newest first.
        exact: what is added while the listing is walked is not missed; on PostgreSQL that may
            wait for transactions that add a row at this moment.
    """

    limit: int
    iterator: str | None
    descending: bool
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, whether they are the last, and the iterators of the pages beside them."""

    data: list[T]
    iterator: str | None
    prev_iterator: str | None
    done: bool


def page(select: Any, column: peewee.Field, cursor: Cursor, key: Callable[[Any], str]) -> Page[Any]:
    """Run a select for one page, ordered by ``column``.

    Args:
        key: gives the value of ``column`` of a row.
    """
    backwards = cursor.iterator is not None and cursor.iterator.startswith("-")
    descending = cursor.descending != backwards
    if cursor.iterator is not None:
        start = cursor.iterator.removeprefix("-" if backwards else "~")
        select = select.where(column < start if descending else column > start)
    if cursor.exact:
        select = settled(select, column)
    rows = list(_fitting(select, column, cursor.limit, descending=descending))
    # One key more than rows of a page is looked for.
    done = not rows or rows[0].found == len(rows)
    if backwards:
        rows.reverse()
    if not rows:
        return Page([], None, None, done)
    return Page(rows, after(key(rows[-1])), "-" + key(rows[0]), done)


def after(key: str) -> str:
    """Return the iterator of the items after a key; a hyphen at its beginning would go back."""
    return "~" + key if key.startswith("-") else key


def _fitting(select: Any, column: peewee.Field, limit: int, *, descending: bool) -> Any:
    """Return the first rows that fit on a page; each has ``found``, the keys looked at."""
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
    """Return the expression of how many bytes the texts and payloads of a selected row have.

    Of a text it counts the characters, which may have up to four bytes each.
    """
    long = (peewee.TextField, peewee.BlobField)
    columns = [column for column in select._returning if isinstance(column, long)]
    first, *others = [peewee.fn.COALESCE(peewee.fn.LENGTH(column), 0) for column in columns]
    total: peewee.Expression = sum(others, start=first)
    return total


def locked(select: Any) -> Any:
    """Return a select that locks its rows until the transaction ends.

    Lock a row before a change that depends on it, or one of two such changes at the same time
    is lost. SQLite has one writer at a time and needs no lock.
    """
    return select.for_update() if select.model._meta.database.for_update else select


def by_id(row: Any) -> str:
    """The key of rows that are listed by their own id."""
    return str(row.id)
