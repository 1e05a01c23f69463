"""Bodies of ``/app/{app}/endpoint``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rolehost_webhooks.models import Endpoint
from rolehost_webhooks.rules import Name, Prose
from rolehost_webhooks.schemas.common import (
    Body,
    Channels,
    Metadata,
    Names,
    Rate,
    Text,
    merge_alias,
    moment,
)

#: Maximum number of headers that an endpoint adds to its requests.
MAX_HEADERS = 40

Headers = Annotated[dict[str, str], Meta(max_length=MAX_HEADERS)]

#: A number that Svix's clients 1.x send and read; it has no effect.
Version = Annotated[int, Meta(ge=1, le=65_535)]

#: Older field names, which Svix's open-source server also accepts and returns.
ALIASES = {"event_types": "filter_types", "throttle_rate": "rate_limit"}


class _EndpointFields(Body, kw_only=True):
    """Base of endpoint bodies: accepts older names and removes duplicates from lists."""

    def __post_init__(self) -> None:
        """Read the older names; remove duplicates from lists."""
        for name, alias in ALIASES.items():
            merge_alias(self, name, alias)
        for name in ("event_types", "channels"):
            given = getattr(self, name)
            if isinstance(given, list):
                setattr(self, name, list(dict.fromkeys(given)))


class EndpointPut(_EndpointFields, kw_only=True):
    """Fields of a replaced endpoint; its secret and headers do not change."""

    url: Text
    description: Prose | None = None
    uid: Name | None = None
    throttle_rate: Rate | None = None
    rate_limit: Rate | UnsetType | None = UNSET
    version: Version | None = None
    event_types: Names | None = None
    filter_types: Names | UnsetType | None = UNSET
    channels: Channels | None = None
    disabled: bool | None = None
    fifo: bool | None = None
    metadata: Metadata | None = None


class EndpointIn(EndpointPut, kw_only=True):
    """Fields of a new endpoint."""

    secret: str | None = None
    headers: Headers | None = None


class EndpointPatch(_EndpointFields, kw_only=True):
    """Changed fields of an endpoint.

    Attributes:
        secret: the new secret; old ones no longer sign. Null changes nothing.
    """

    url: Text | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    uid: Name | UnsetType | None = UNSET
    throttle_rate: Rate | UnsetType | None = UNSET
    rate_limit: Rate | UnsetType | None = UNSET
    version: Version | UnsetType = UNSET
    event_types: Names | UnsetType | None = UNSET
    filter_types: Names | UnsetType | None = UNSET
    channels: Channels | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    fifo: bool | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    secret: str | UnsetType | None = UNSET


class EndpointFieldsOut(Body, kw_only=True):
    """An endpoint without its metadata; ``rate_limit`` and ``filter_types`` are older names."""

    id: str
    uid: str | None
    url: str
    description: str
    rate_limit: int | None
    throttle_rate: int | None
    version: int
    event_types: list[str] | None
    filter_types: list[str] | None
    channels: list[str] | None
    disabled: bool
    created_at: datetime
    updated_at: datetime


class EndpointOut(EndpointFieldsOut, kw_only=True):
    """An endpoint.

    Attributes:
        fifo: true if it gets its messages one after the other, in their order; otherwise absent.
        failing_since: when it began to fail; absent if it does not.
    """

    metadata: Metadata
    fifo: bool | UnsetType = UNSET
    failing_since: datetime | UnsetType = UNSET

    @classmethod
    def of(cls, row: Endpoint) -> EndpointOut:
        """Convert a row."""
        since = UNSET if row.failing_since is None else moment(row.failing_since)
        fifo = True if row.fifo else UNSET
        return cls(**fields(row), metadata=row.metadata, fifo=fifo, failing_since=since)


def fields(row: Endpoint) -> dict[str, Any]:
    """Return the values of :class:`EndpointFieldsOut`, by name."""
    return {
        "id": row.id,
        "uid": row.uid,
        "url": row.url,
        "description": row.description,
        "rate_limit": row.throttle_rate,
        "throttle_rate": row.throttle_rate,
        "version": row.version,
        "event_types": row.event_types,
        "filter_types": row.event_types,
        "channels": row.channels,
        "disabled": bool(row.disabled),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }


class SecretOut(Body, kw_only=True):
    """The signing secret."""

    key: str


class SecretRotateIn(Body, kw_only=True):
    """A rotation: the new secret (by default generated), and how long the old one also signs."""

    key: str | None = None
    grace_period_seconds: Annotated[int, Meta(ge=0, le=604_800)] = 86_400


class HeadersIn(Body, kw_only=True):
    """The headers that are added to each request."""

    headers: Headers


class HeadersPatch(Body, kw_only=True):
    """Headers to add or replace, and headers to remove: with the value null, or in a list."""

    headers: Annotated[dict[str, str | None], Meta(max_length=MAX_HEADERS)] = msgspec.field(
        default_factory=dict
    )
    delete_headers: list[str] | None = None


class HeadersOut(Body, kw_only=True):
    """The headers that are added to each request; values of the sensitive ones are not shown."""

    headers: dict[str, str]
    sensitive: list[str]


class StatsOut(Body, kw_only=True):
    """Number of deliveries to an endpoint by status."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


class PeriodQuery(msgspec.Struct, kw_only=True):
    """A period of time; by default the last 28 days."""

    since: datetime | None = None
    until: datetime | None = None


class RecoverIn(Body, kw_only=True):
    """The period whose failed and cancelled messages are resent."""

    since: datetime
    until: datetime | None = None


class ExampleIn(Body, kw_only=True):
    """An example to send: from the event type's schema, or the given payload."""

    event_type: Name
    example_index: Annotated[int, Meta(ge=0)] = 0
    payload: dict[str, Any] | None = None


class TaskOut(Body, kw_only=True):
    """A task that runs in the background."""

    id: str
    status: str
    task: str
    updated_at: datetime
