"""Deliveries: how each message stands with each endpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import peewee

from rolehost_webhooks.models import Application, Delivery, Endpoint, Message, Status
from rolehost_webhooks.repositories.messages import Filter, columns, narrow
from rolehost_webhooks.repositories.paging import Cursor, Page, locked, page

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


def with_message(message_id: str, endpoint_id: str) -> Delivery | None:
    """Return a delivery with its ``message`` and the revision of its ``application``."""
    return (
        Delivery.select(
            Delivery.status,
            Message.id,
            Message.event_type,
            Message.payload,
            Message.content_type,
            Application.revision,
        )
        .join(Message, on=(Delivery.message_id == Message.id), attr="message")
        .switch(Delivery)
        .join(Application, on=(Message.app_id == Application.id), attr="application")
        .where(Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id)
        .get_or_none()
    )


def insert_pending(message_id: str, endpoint_ids: Iterable[str], now: int) -> None:
    """Add a pending delivery to each endpoint; existing ones start again."""
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
) -> bool:
    """Record how a delivery stands after one more attempt.

    Returns:
        False if the attempt failed but another one succeeded: then it stays delivered.
    """
    where = (Delivery.message_id == message_id) & (Delivery.endpoint_id == endpoint_id)
    counted = {Delivery.attempts: Delivery.attempts + 1, Delivery.updated_at: now}
    stands = {**counted, Delivery.status: status, Delivery.next_attempt: next_attempt}
    unless_delivered = (
        where if status == Status.SUCCESS else where & (Delivery.status != Status.SUCCESS)
    )
    if Delivery.update(stands).where(unless_delivered).execute():
        return True
    Delivery.update(counted).where(where).execute()
    return False


def insert_attempt(message_id: str, endpoint_id: str, now: int) -> None:
    """Note that one attempt beside the schedule is to come.

    A delivery that has a schedule keeps it, and one that succeeded stays so; any other is
    pending until that attempt is made.
    """
    Delivery.insert(
        message_id=message_id,
        endpoint_id=endpoint_id,
        status=Status.PENDING,
        next_attempt=None,
        attempts=0,
        updated_at=now,
    ).on_conflict(
        conflict_target=[Delivery.message_id, Delivery.endpoint_id],
        update={Delivery.status: Status.PENDING, Delivery.updated_at: now},
        where=Delivery.status.in_([Status.FAIL, Status.CANCELED]),
    ).execute()


def attempted_in_vain(message_id: str, endpoint_id: str, now: int) -> bool:
    """Record an attempt beside the schedule that failed; say whether the delivery failed by it.

    It did if it has no schedule (``next_attempt``) that goes on, and had not succeeded before.
    """
    where = (Delivery.message_id == message_id) & (Delivery.endpoint_id == endpoint_id)
    counted = {Delivery.attempts: Delivery.attempts + 1, Delivery.updated_at: now}
    over = where & (Delivery.status != Status.SUCCESS) & Delivery.next_attempt.is_null()
    if Delivery.update({**counted, Delivery.status: Status.FAIL}).where(over).execute():
        return True
    Delivery.update(counted).where(where).execute()
    return False


def cancel(message_id: str, endpoint_id: str, now: int) -> None:
    """Record that a delivery will not be made: its endpoint or its payload is gone."""
    Delivery.update(status=Status.CANCELED, next_attempt=None, updated_at=now).where(
        Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id
    ).execute()


def by_message(message_id: str, cursor: Cursor) -> Page[Delivery]:
    """Return a page of a message's deliveries, by endpoint; each row has its ``endpoint``.

    A deleted endpoint is among them: the message went there.
    """
    select = (
        Delivery.select(Delivery, Endpoint)
        .join(Endpoint, on=(Delivery.endpoint_id == Endpoint.id), attr="endpoint")
        .where(Delivery.message_id == message_id)
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
        select = select.where(Message.created_at >= wanted.after)
    if statuses:
        select = select.where(Delivery.status.in_(list(statuses)))
    return page(select, Delivery.message_id, cursor, lambda row: str(row.message_id))


def recoverable(endpoint_id: str, first: str, last: str, limit: int) -> list[str]:
    """Return ids of messages between two ids that ended undelivered and still can be sent.

    They failed for good, or were cancelled while the endpoint was disabled. The rows stay
    locked, so that two recoveries at the same time do not both start them again.
    """
    payloads = Message.select(Message.id).where(
        Message.id == Delivery.message_id, Message.payload.is_null(False)
    )
    select = (
        Delivery.select(Delivery.message_id)
        .where(
            Delivery.endpoint_id == endpoint_id,
            Delivery.status.in_([Status.FAIL, Status.CANCELED]),
            Delivery.message_id.between(first, last),
            peewee.fn.EXISTS(payloads),
        )
        .order_by(Delivery.message_id)
        .limit(limit)
    )
    return [row.message_id for row in locked(select)]


def counts(endpoint_id: str, first: str, last: str) -> dict[Status, int]:
    """Count an endpoint's deliveries by status, for messages between two ids."""
    select: Any = (
        Delivery.select(Delivery.status, peewee.fn.COUNT(Delivery.message_id))
        .where(Delivery.endpoint_id == endpoint_id, Delivery.message_id.between(first, last))
        .group_by(Delivery.status)
    )
    return {Status(status): count for status, count in select.tuples()}


def oldest_due() -> int | None:
    """Return when the oldest waiting delivery was due, in milliseconds, or None."""
    value = Delivery.select(peewee.fn.MIN(Delivery.next_attempt)).where(
        Delivery.next_attempt.is_null(False)
    )
    return value.scalar()  # type: ignore[no-any-return]
