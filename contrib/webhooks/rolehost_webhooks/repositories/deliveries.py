"""Deliveries: the status of each message for each endpoint."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

import peewee

from rolehost_webhooks.models import Application, Delivery, Endpoint, Message, Status
from rolehost_webhooks.repositories.compiled import Compiled, given
from rolehost_webhooks.repositories.messages import Filter, columns, narrow
from rolehost_webhooks.repositories.paging import Cursor, Page, lock_rows, page

#: Maximum rows per statement: SQLite allows 32,766 parameters, PostgreSQL 65,535.
ROWS = 1000


_KEY = (Delivery.message_id == given("message_id")) & (Delivery.endpoint_id == given("endpoint_id"))
_OF_MESSAGE = (Message.id, Message.event_type, Message.payload, Message.content_type)
_OF_ENDPOINT = (
    Endpoint.app_id,
    Endpoint.url,
    Endpoint.headers,
    Endpoint.disabled,
    Endpoint.secret,
    Endpoint.old_secrets,
    Endpoint.deleted_at,
    Endpoint.failing_since,
)
_WITH_MESSAGE_AND_ENDPOINT = Compiled(
    Delivery,
    lambda: (
        Delivery.select(Delivery.status, *_OF_MESSAGE, *_OF_ENDPOINT)
        .join(Message, on=(Delivery.message_id == Message.id))
        .switch(Delivery)
        .join(Endpoint, on=(Delivery.endpoint_id == Endpoint.id))
        .where(_KEY)
    ),
)
_WITH_MESSAGE = Compiled(
    Delivery,
    lambda: (
        Delivery.select(Delivery.status, *_OF_MESSAGE, Application.revision)
        .join(Message, on=(Delivery.message_id == Message.id))
        .switch(Delivery)
        .join(Application, on=(Message.app_id == Application.id))
        .where(_KEY)
    ),
)


def with_message_and_endpoint(message_id: str, endpoint_id: str) -> Delivery | None:
    """Return a delivery with its ``message`` and its ``endpoint``, deleted or not."""
    found = _WITH_MESSAGE_AND_ENDPOINT.rows(message_id=message_id, endpoint_id=endpoint_id)
    for status, number, event_type, payload, content_type, *endpoint in found:
        delivery = _delivery(status, number, event_type, payload, content_type)
        names = [column.name for column in _OF_ENDPOINT]
        delivery.endpoint = Endpoint(**dict(zip(names, endpoint, strict=True)))
        return delivery
    return None


def with_message(message_id: str, endpoint_id: str) -> Delivery | None:
    """Return a delivery with its ``message`` and the revision of its ``application``."""
    for *values, revision in _WITH_MESSAGE.rows(message_id=message_id, endpoint_id=endpoint_id):
        delivery = _delivery(*values)
        delivery.application = Application(revision=revision)
        return delivery
    return None


def _delivery(
    status: int, message_id: str, event_type: str, payload: bytes | None, content_type: str | None
) -> Delivery:
    delivery = Delivery(status=status)
    delivery.message = Message(
        id=message_id, event_type=event_type, payload=payload, content_type=content_type
    )
    return delivery


def insert_pending(message_id: str, endpoint_ids: Iterable[str], now: int) -> None:
    """Insert a pending delivery for each endpoint; restart existing ones."""
    ids = list(endpoint_ids)
    for first in range(0, len(ids), ROWS):
        some = enumerate(ids[first : first + ROWS])
        numbered = {f"endpoint_{index}": one for index, one in some}
        _insert_pending(len(numbered)).execute(message_id=message_id, now=now, **numbered)


@functools.lru_cache(maxsize=32)
def _insert_pending(count: int) -> Compiled:
    """Return the statement for this number of endpoints."""
    rows = [
        {
            "message_id": given("message_id"),
            "endpoint_id": given(f"endpoint_{index}"),
            "status": Status.PENDING,
            "next_attempt": given("now"),
            "attempts": 0,
            "updated_at": given("now"),
        }
        for index in range(count)
    ]
    return Compiled(
        Delivery,
        lambda: Delivery.insert_many(rows).on_conflict(
            conflict_target=[Delivery.message_id, Delivery.endpoint_id],
            preserve=[Delivery.status, Delivery.next_attempt, Delivery.updated_at],
        ),
    )


_COUNTED = {Delivery.attempts: Delivery.attempts + 1, Delivery.updated_at: given("now")}
_ENDED = {
    **_COUNTED,
    Delivery.status: given("status"),
    Delivery.next_attempt: given("next_attempt"),
}
_COUNT = Compiled(Delivery, lambda: Delivery.update(_COUNTED).where(_KEY))
_SUCCEED = Compiled(Delivery, lambda: Delivery.update(_ENDED).where(_KEY))
_FAIL = Compiled(
    Delivery,
    lambda: Delivery.update(_ENDED).where(_KEY, Delivery.status != Status.SUCCESS),
)


def record_attempt(
    message_id: str, endpoint_id: str, status: Status, next_attempt: int | None, now: int
) -> bool:
    """Record the status of a delivery after an attempt.

    Returns:
        False if the attempt failed but another attempt has succeeded; then the status stays.
    """
    values = {"message_id": message_id, "endpoint_id": endpoint_id, "now": now}
    ended = _SUCCEED if status == Status.SUCCESS else _FAIL
    if ended.execute(**values, status=status, next_attempt=next_attempt).rowcount:
        return True
    _COUNT.execute(**values)
    return False


def insert_attempt(message_id: str, endpoint_id: str, now: int) -> None:
    """Record that a manual attempt, outside the retry schedule, is pending.

    A failed or cancelled delivery becomes pending. Any other delivery keeps its status and its
    retry schedule. If there is no delivery, a pending one is inserted.
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


def record_failed_attempt(message_id: str, endpoint_id: str, now: int) -> bool:
    """Record a failed manual attempt; return whether the delivery failed with it.

    The delivery fails if it has not succeeded before and has no scheduled retry
    (``next_attempt``).
    """
    where = (Delivery.message_id == message_id) & (Delivery.endpoint_id == endpoint_id)
    counted = {Delivery.attempts: Delivery.attempts + 1, Delivery.updated_at: now}
    over = where & (Delivery.status != Status.SUCCESS) & Delivery.next_attempt.is_null()
    if Delivery.update({**counted, Delivery.status: Status.FAIL}).where(over).execute():
        return True
    Delivery.update(counted).where(where).execute()
    return False


def cancel(message_id: str, endpoint_id: str, now: int) -> None:
    """Cancel a delivery whose payload was removed, or whose endpoint was removed or disabled."""
    Delivery.update(status=Status.CANCELED, next_attempt=None, updated_at=now).where(
        Delivery.message_id == message_id, Delivery.endpoint_id == endpoint_id
    ).execute()


def by_message(message_id: str, cursor: Cursor) -> Page[Delivery]:
    """Return a page of a message's deliveries, by endpoint; each row has its ``endpoint``.

    Deleted endpoints are included.
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
        statuses: only deliveries with these statuses; empty selects all.
        with_content: whether to read the payloads of the messages.
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
    """Return ids of undelivered messages between two ids that can still be sent.

    Their deliveries failed permanently, or were cancelled while the endpoint was disabled. The
    rows stay locked, so that two concurrent recoveries do not both restart them.
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
    return [row.message_id for row in lock_rows(select)]


def counts(endpoint_id: str, first: str, last: str) -> dict[Status, int]:
    """Count an endpoint's deliveries by status, for messages between two ids."""
    select: Any = (
        Delivery.select(Delivery.status, peewee.fn.COUNT(Delivery.message_id))
        .where(Delivery.endpoint_id == endpoint_id, Delivery.message_id.between(first, last))
        .group_by(Delivery.status)
    )
    return {Status(status): count for status, count in select.tuples()}


def oldest_due() -> int | None:
    """Return when the oldest pending delivery was due in Unix milliseconds, or None."""
    value = Delivery.select(peewee.fn.MIN(Delivery.next_attempt)).where(
        Delivery.next_attempt.is_null(False)
    )
    return value.scalar()  # type: ignore[no-any-return]
