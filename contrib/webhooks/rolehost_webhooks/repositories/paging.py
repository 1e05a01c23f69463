"""Pages of a listing, walked by the last id seen: stable while rows are added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import peewee

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page begins.

    Attributes:
        limit: most rows of the page.
        iterator: id after which it begins; with a leading ``-`` the id before which it ends;
            None begins at the start.
        descending: newest first.
    """

    limit: int
    iterator: str | None
    descending: bool


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
        start = cursor.iterator.removeprefix("-")
        select = select.where(column < start if descending else column > start)
    order = column.desc() if descending else column.asc()
    rows = list(select.order_by(order).limit(cursor.limit + 1))
    done = len(rows) <= cursor.limit
    rows = rows[: cursor.limit]
    if backwards:
        rows.reverse()
    if not rows:
        return Page([], None, None, done)
    return Page(rows, key(rows[-1]), "-" + key(rows[0]), done)


def locked(select: Any) -> Any:
    """Return a select that locks its rows until the transaction ends.

    Who reads a row in order to write what follows from it must lock it first, or one of two
    such changes at the same time is lost. SQLite has one writer at a time and needs no lock.
    """
    return select.for_update() if select.model._meta.database.for_update else select


def by_id(row: Any) -> str:
    """The key of rows that are listed by their own id."""
    return str(row.id)
