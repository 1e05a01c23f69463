"""Bodies of ``/app/{app}/msg``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rolehost_webhooks.models import Message
from rolehost_webhooks.rules import Name
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.common import (
    Body,
    PageQuery,
    merge_alias,
    moment,
    moment_or_none,
    or_absent,
)

EMPTY = msgspec.Raw(b"{}")

#: Placeholder for a payload that was removed.
EXPIRED = msgspec.Raw(b'{"expired":true}')


class TransformationsParams(Body, kw_only=True):
    """Where Svix's clients put a payload that is not JSON (``message_in_raw``)."""

    raw_payload: str | None = None
    headers: dict[str, str] | None = None


class MessageIn(Body, kw_only=True):
    """Fields of a new message. Receivers get the bytes of ``payload`` unchanged.

    Attributes:
        payload: required, under this name or as ``data``.
    """

    event_type: Name
    payload: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    event_id: Name | None = None
    channels: Annotated[list[Name], Meta(min_length=1, max_length=5)] | None = None
    tags: Annotated[list[Name], Meta(max_length=10)] | None = None
    application: ApplicationIn | None = None
    transformations_params: TransformationsParams | None = None
    deliver_at: datetime | None = None
    payload_retention_period: Annotated[int, Meta(ge=5, le=90)] | None = None
    payload_retention_hours: Annotated[int, Meta(ge=1, le=2160)] | None = None

    def __post_init__(self) -> None:
        """Read the payload from its alias.

        Raises:
            ValueError: there is no payload, or there are two.
        """
        merge_alias(self, "payload", "data")
        if self.payload is UNSET:
            raise ValueError("Object missing required field `payload`")


class MessageOut(Body, kw_only=True):
    """A message; ``tags`` and ``deliver_at``, which the open server lacks, are absent if unset."""

    id: str
    event_id: str | None
    event_type: str
    payload: msgspec.Raw
    channels: list[str] | None
    tags: list[str] | UnsetType
    deliver_at: datetime | UnsetType
    timestamp: datetime

    @classmethod
    def of(cls, row: Message, *, with_content: bool) -> MessageOut:
        """Convert a row, with its payload or an empty object instead."""
        return cls(**fields(row, with_content=with_content))


def fields(row: Message, *, with_content: bool) -> dict[str, Any]:
    """Return the fields that show a message, by name."""
    return {
        "id": row.id,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "payload": json_payload(row) if with_content else EMPTY,
        "channels": row.channels,
        "tags": or_absent(row.tags),
        "deliver_at": or_absent(moment_or_none(row.deliver_at)),
        "timestamp": moment(row.created_at),
    }


def json_payload(row: Message) -> msgspec.Raw:
    """Return a payload in the form that clients can read: always a JSON object."""
    if row.payload is None:
        return EXPIRED
    payload = bytes(row.payload)
    if row.content_type is not None:
        return msgspec.Raw(msgspec.json.encode({"rawPayload": payload.decode()}))
    return msgspec.Raw(payload)


class ContentQuery(msgspec.Struct):
    """``with_content`` false shows an empty object instead of the payload."""

    with_content: bool = True


class PeriodAndKindQuery(PageQuery, kw_only=True):
    """Query parameters of the listings of messages, attempts and deliveries."""

    channel: Name | None = None
    tag: Name | None = None
    before: datetime | None = None
    after: datetime | None = None
    event_types: list[Name] = msgspec.field(default_factory=list)


class MessageListQuery(PeriodAndKindQuery, kw_only=True):
    """Query parameters of the listing of messages."""

    with_content: bool = True
