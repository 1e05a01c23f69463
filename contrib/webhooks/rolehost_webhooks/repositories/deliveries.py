"""Deliveries: how each message stands with each endpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import peewee

from rolehost_webhooks.models import Delivery, Endpoint, Message, Status
from rolehost_webhooks.repositories.messages import Filter, columns, narrow
from rolehost_webhooks.repositories.paging import Cursor, Page, page

#: Rows of one statement: SQLite takes 32,766 parameters, PostgreSQL 65,535.
ROWS = 1000


def with_both(message_id: str, endpoint_id: str) -> Delivery | None:
    """Return a delivery with its ``message`` and its ``endpoint``, deleted or not.

    PERF: on the way of every attempt, so only the columns that it needs.
    """
    return (
        Delivery.select(
            Delivery.status,
            Message.id,
            Message.event_type,
            Message.payload,
            Message.content_type,
            Endpoint.app_id,
            Endpoint.url,
            Endpoint.headers,
            Endpoint.disabled,
            Endpoint.secret,
            Endpoint.old_secrets,
            Endpoint.deleted_at,
        )
        .join(Message, on=(Delivery.message_id == Message.id), attr="message")
        .switch(Delivery)
        .join(Endpoint, on=(Delivery.endpoint_id == Endpoint.id), attr="endpoint")
        .where(Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id)
        .get_or_none()
    )


def insert_pending(message_id: str, endpoint_ids: Iterable[str], now: int) -> None:
    """Add a pending delivery to each endpoint; those that exist begin anew."""
    rows: list[dict[str, Any]] = [
        {
            "message_id": message_id,
            "endpoint_id": endpoint_id,
            "status": Status.PENDING,
            "next_attempt": now,
            "attempts": 0,
            "updated_at": now,
        }
        for endpoint_id in endpoint_ids
    ]
    for some in peewee.chunked(rows, ROWS):
        Delivery.insert_many(some).on_conflict(
            conflict_target=[Delivery.message_id, Delivery.endpoint_id],
            preserve=[Delivery.status, Delivery.next_attempt, Delivery.updated_at],
        ).execute()


def attempted(
    message_id: str, endpoint_id: str, status: Status, next_attempt: int | None, now: int
) -> None:
    """Record how a delivery stands after one more attempt."""
    Delivery.update(
        status=status,
        next_attempt=next_attempt,
        attempts=Delivery.attempts + 1,
        updated_at=now,
    ).where(Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id).execute()


def cancel(message_id: str, endpoint_id: str, now: int) -> None:
    """Record that a delivery will not be made: its endpoint or its payload is gone."""
    Delivery.update(status=Status.CANCELED, next_attempt=None, updated_at=now).where(
        Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id
    ).execute()


def by_message(message_id: str, cursor: Cursor) -> Page[Delivery]:
    """Return a page of a message's deliveries, by endpoint; each row has its ``endpoint``."""
    select = (
        Delivery.select(Delivery, Endpoint)
        .join(Endpoint, on=(Delivery.endpoint_id == Endpoint.id), attr="endpoint")
        .where(Delivery.message_id == message_id, Endpoint.deleted_at.is_null())
    )
    return page(select, Delivery.endpoint_id, cursor, lambda row: str(row.endpoint_id))


def by_endpoint(
    endpoint_id: str,
    cursor: Cursor,
    wanted: Filter,
    statuses: Collection[Status],
    *,
    with_content: bool,
) -> Page[Delivery]:
    """Return a page of an endpoint's deliveries, by message; each row has its ``message``.

    Args:
        statuses: only these; empty is all.
        with_content: the messages have their payloads.
    """
    select = (
        Delivery.select(Delivery, *columns(with_content=with_content))
        .join(Message, on=(Delivery.message_id == Message.id), attr="message")
        .where(Delivery.endpoint_id == endpoint_id)
    )
    select = narrow(select, wanted)
    if wanted.before is not None:
        select = select.where(Message.created_at < wanted.before)
    if wanted.after is not None:
        select = select.where(Message.created_at > wanted.after)
    if statuses:
        select = select.where(Delivery.status.in_(list(statuses)))
    return page(select, Delivery.message_id, cursor, lambda row: str(row.message_id))


def failed(endpoint_id: str, first: str, last: str, limit: int) -> list[str]:
    """Return ids of messages between two ids whose delivery failed for good, in their order."""
    select = (
        Delivery.select(Delivery.message_id)
        .where(
            Delivery.endpoint_id == endpoint_id,
            Delivery.status == Status.FAIL,
            Delivery.message_id.between(first, last),
        )
        .order_by(Delivery.message_id)
        .limit(limit)
    )
    return [row.message_id for row in select]


def counts(endpoint_id: str, first: str, last: str) -> dict[Status, int]:
    """Count an endpoint's deliveries by status, for messages between two ids."""
    select: Any = (
        Delivery.select(Delivery.status, peewee.fn.COUNT(Delivery.message_id))
        .where(Delivery.endpoint_id == endpoint_id, Delivery.message_id.between(first, last))
        .group_by(Delivery.status)
    )
    return {Status(status): count for status, count in select.tuples()}


def oldest_due() -> int | None:
    """Return when the delivery that waits longest was due, milliseconds; None when none waits."""
    value = Delivery.select(peewee.fn.MIN(Delivery.next_attempt)).where(
        Delivery.next_attempt.is_null(False)
    )
    return value.scalar()  # type: ignore[no-any-return]
