"""Messages."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import peewee

from rolehost_webhooks import ids
from rolehost_webhooks.models import Application, Attempt, Delivery, Message
from rolehost_webhooks.repositories.compiled import Compiled, given
from rolehost_webhooks.repositories.paging import Cursor, Page, by_id, page


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of messages; None or empty does not filter.

    Attributes:
        before: created before this time, milliseconds.
        after: created at this time or later, milliseconds.
    """

    event_types: list[str] = field(default_factory=list)
    channel: str | None = None
    tag: str | None = None
    before: int | None = None
    after: int | None = None


def find(app_id: str, reference: str) -> Message | None:
    """Return the message of this id or eventId in an application.

    If several messages have the same eventId, the latest is returned.
    """
    if reference.startswith(ids.MESSAGE):
        return Message.get_or_none(Message.id == reference, Message.app_id == app_id)
    return Message.get_or_none(
        Message.app_id == app_id, Message.event_id == reference, Message.superseded == 0
    )


def envelope(message_id: str) -> Message | None:
    """Return a message without its payload, with its ``application``'s revision."""
    for app_id, event_type, channels, revision in _ENVELOPE.rows(id=message_id):
        message = Message(app_id=app_id, event_type=event_type, channels=channels)
        message.application = Application(revision=revision)
        return message
    return None


_ENVELOPE = Compiled(
    Message,
    lambda: (
        Message.select(Message.app_id, Message.event_type, Message.channels, Application.revision)
        .join(Application, on=(Message.app_id == Application.id))
        .where(Message.id == given("id"))
    ),
)


def insert(message: Message) -> bool:
    """Insert a message; if its eventId is in use, write nothing and return False."""
    statement = Message.insert(message.__data__).on_conflict_ignore()
    return bool(statement.as_rowcount().execute())


def insert_for(message: Message, reference: str) -> bool:
    """Insert a message if its application still has this id or uid.

    PERF: runs for every message, so the SQL text is built only once.

    Returns:
        False if the application no longer has the reference, or if the message's eventId is in
        use; nothing was written then.
    """
    database = Message._meta.database
    named = "id" if reference.startswith(ids.APPLICATION) else "uid"
    values = [field.db_value(getattr(message, field.name)) for field in Message._meta.sorted_fields]
    sql = _insert_for(database.param, named)
    return bool(database.execute_sql(sql, (*values, message.app_id, reference)).rowcount)


@functools.cache
def _insert_for(param: str, named: str) -> str:
    columns = [field.column_name for field in Message._meta.sorted_fields]
    return (
        f"INSERT INTO webhooks_message ({', '.join(columns)})"
        f" SELECT {', '.join([param] * len(columns))} FROM webhooks_application"
        f" WHERE id = {param} AND {named} = {param} AND deleted_at IS NULL"
        " ON CONFLICT DO NOTHING"
    )


def supersede(app_id: str, event_id: str, created_before: int) -> bool:
    """Free the eventId of a message that was created before this time (milliseconds)."""
    statement = Message.update(superseded=Message.created_at).where(
        Message.app_id == app_id,
        Message.event_id == event_id,
        Message.superseded == 0,
        Message.created_at < created_before,
    )
    return bool(statement.execute())


def columns(*, with_content: bool) -> list[peewee.Field]:
    """Return the columns to select, with or without the payload, which can be large."""
    return [
        column
        for column in Message._meta.sorted_fields
        if with_content or column is not Message.payload
    ]


def listing(app_id: str, cursor: Cursor, wanted: Filter, *, with_content: bool) -> Page[Message]:
    """Return a page of an application's messages, by id, with or without payloads."""
    select = Message.select(*columns(with_content=with_content))
    select = narrow(select.where(Message.app_id == app_id), wanted)
    if wanted.before is not None:
        select = select.where(Message.id < ids.first_at(ids.MESSAGE, wanted.before))
    if wanted.after is not None:
        select = select.where(Message.id > ids.first_at(ids.MESSAGE, wanted.after))
    return page(select, Message.id, cursor, by_id)


def narrow(select: Any, wanted: Filter) -> Any:
    """Filter a select from :class:`Message` by event type, channel and tag."""
    if wanted.event_types:
        select = select.where(Message.event_type.in_(wanted.event_types))
    if wanted.channel is not None:
        select = select.where(list_contains(Message.channels, wanted.channel))
    if wanted.tag is not None:
        select = select.where(list_contains(Message.tags, wanted.tag))
    return select


def list_contains(column: peewee.Field, name: str) -> Any:
    """Return an expression that is true if a column's compact JSON list of names has this name.

    Names need no JSON escaping, so a search for the quoted name is sufficient. ``REPLACE`` is
    used because, unlike ``LIKE``, it is case-sensitive in every dialect.
    """
    return peewee.fn.REPLACE(column, f'"{name}"', "") != column


def expunge(message: Message) -> None:
    """Permanently remove the payload of a message."""
    Message.update(payload=None).where(Message.id == message.id).execute()


def remove_old(before: int, limit: int) -> int:
    """Remove at most ``limit`` old messages with their deliveries and attempts; return how many.

    A message is old if it was created before ``before`` (milliseconds) or its application was
    deleted.
    """
    gone = Application.select(Application.id).where(Application.deleted_at.is_null(False))
    old = Message.select(Message.id).where(Message.id < ids.first_at(ids.MESSAGE, before))
    orphans = Message.select(Message.id).where(Message.app_id.in_(gone))
    chosen = [row.id for row in old.order_by(Message.id).limit(limit)]
    chosen += [row.id for row in orphans.limit(limit - len(chosen))] if len(chosen) < limit else []
    if chosen:
        Attempt.delete().where(Attempt.message_id.in_(chosen)).execute()
        Delivery.delete().where(Delivery.message_id.in_(chosen)).execute()
        Message.delete().where(Message.id.in_(chosen)).execute()
    return len(chosen)


def expunge_expired(now: int, limit: int) -> int:
    """Remove at most ``limit`` expired payloads; return how many."""
    expired = Message.select(Message.id).where(Message.payload_expires_at <= now).limit(limit)
    return int(
        Message.update(payload=None, payload_expires_at=None)
        .where(Message.id.in_([row.id for row in expired]))
        .execute()
    )
