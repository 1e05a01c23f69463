"""Pagination with Relay connections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import peewee
import strawberry
from rolehost_graphql import Refused

from rolehost_webhooks.repositories.paging import PAGE_BYTES, Cursor, Page, page, size_of
from rolehost_webhooks.rules import Iterator, validate

T = TypeVar("T")

#: Default number of items of a page.
DEFAULT_SIZE = 20

#: Maximum number of items of a page, as in the HTTP API.
MAX_SIZE = 250


@strawberry.type
class PageInfo:
    """Position of a page in its listing."""

    has_next_page: bool = strawberry.field(description="Whether another page follows.")
    end_cursor: str | None = strawberry.field(
        description="Pass it as `after` to get the next page."
    )


@strawberry.type
class Edge(Generic[T]):
    """An item of a page."""

    node: T
    cursor: str


@strawberry.type
class Connection(Generic[T]):
    """A page of a listing."""

    nodes: list[T]
    edges: list[Edge[T]]
    page_info: PageInfo


def connection(found: Page[Any], convert: Callable[[Any], T], key: Callable[[Any], str]) -> Any:
    """Convert a page into a connection.

    Args:
        convert: converts a row into an item.
        key: returns the cursor of a row.
    """
    nodes = [convert(row) for row in found.data]
    edges = [Edge(node=node, cursor=key(row)) for node, row in zip(nodes, found.data, strict=True)]
    info = PageInfo(has_next_page=not found.done, end_cursor=found.iterator)
    return Connection(nodes=nodes, edges=edges, page_info=info)


def check_first(first: int) -> int:
    """Return the page size.

    Raises:
        Refused: the page size is not 1 to 250.
    """
    if not 1 <= first <= MAX_SIZE:
        raise Refused(f"first is 1 to {MAX_SIZE}, not {first}")
    return first


def check_after(after: str | None) -> str | None:
    """Return the cursor after which a page starts.

    Raises:
        Rejected: the cursor is invalid.
    """
    found: str | None = validate(after, Iterator, ("after",))
    return found


class Wanted(NamedTuple):
    """A page of the rows of one parent."""

    parent: str
    first: int
    after: str | None


def pages(
    wanted: Sequence[Wanted],
    select: Any,
    parent: peewee.Field,
    order: peewee.Field,
    *,
    descending: bool = False,
) -> list[Page[Any]]:
    """Return a page for each parent; pages with equal size and start share one statement.

    Args:
        select: query for all possible rows, with the columns ``parent`` and ``order``.
        parent: column with the id of the parent.
        order: column that orders the rows; unique within a parent.
    """
    alike: dict[tuple[int, str | None], list[str]] = defaultdict(list)
    for each in wanted:
        alike[each.first, each.after].append(each.parent)
    found: dict[Wanted, Page[Any]] = {}
    for (first, after), parents in alike.items():
        if len(parents) == 1:
            cursor = Cursor(limit=first, iterator=after, descending=descending)
            rows = page(select.where(parent == parents[0]), order, cursor, _key_of(order))
            found[Wanted(parents[0], first, after)] = rows
            continue
        some = _ranked(select, parents, parent, order, first, after, descending=descending)
        for name in parents:
            found[Wanted(name, first, after)] = _page(some[name], _key_of(order))
    return [found[each] for each in wanted]


def _ranked(
    select: Any,
    parents: list[str],
    parent: peewee.Field,
    order: peewee.Field,
    first: int,
    after: str | None,
    *,
    descending: bool,
) -> dict[str, list[Any]]:
    """Return the rows of each parent's page; ``found`` is the number of rows of the parent.

    The size limit in bytes applies to all pages together.
    """
    direction = order.desc() if descending else order.asc()
    over = {"partition_by": [parent], "order_by": [direction]}
    size = size_of(select)
    if after is not None:
        select = select.where(order < after if descending else order > after)
    inner = select.where(parent.in_(parents)).select(
        parent.alias("of"),
        order.alias("at"),
        peewee.fn.ROW_NUMBER().over(**over).alias("place"),
        (peewee.fn.SUM(size).over(**over) - size).alias("before"),
        peewee.fn.COUNT(order).over(partition_by=[parent]).alias("found"),
    )
    rows = (
        select.select_extend(inner.c.found.alias("found"))
        .join_from(parent.model, inner, on=((parent == inner.c.of) & (order == inner.c.at)))
        .where(inner.c.place <= first, inner.c.before < PAGE_BYTES // len(parents))
        .order_by(direction)
        .objects()
    )
    grouped: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[getattr(row, parent.name)].append(row)
    return grouped


def _page(rows: list[Any], key: Callable[[Any], str]) -> Page[Any]:
    if not rows:
        return Page([], None, None, True)
    done = rows[0].found == len(rows)
    return Page(rows, key(rows[-1]), "-" + key(rows[0]), done)


def _key_of(column: peewee.Field) -> Callable[[Any], str]:
    name = column.name
    return lambda row: str(getattr(row, name))
