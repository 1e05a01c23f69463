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
    moment,
)

#: Headers that an endpoint may add to its requests.
MOST_HEADERS = 40

Headers = Annotated[dict[str, str], Meta(max_length=MOST_HEADERS)]


class EndpointPut(Body, kw_only=True):
    """An endpoint as it is replaced; secret and headers stay as they were."""

    url: Text
    description: Prose | None = None
    uid: Name | None = None
    throttle_rate: Rate | None = None
    event_types: Names | None = None
    channels: Channels | None = None
    disabled: bool | None = None
    metadata: Metadata | None = None


class EndpointIn(EndpointPut, kw_only=True):
    """An endpoint as it is created."""

    secret: str | None = None
    headers: Headers | None = None


class EndpointPatch(Body, kw_only=True):
    """What changes of an endpoint."""

    url: Text | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    uid: Name | UnsetType | None = UNSET
    throttle_rate: Rate | UnsetType | None = UNSET
    event_types: Names | UnsetType | None = UNSET
    channels: Channels | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class EndpointOut(Body, kw_only=True):
    """An endpoint."""

    id: str
    uid: str | None
    url: str
    description: str
    throttle_rate: int | None
    event_types: list[str] | None
    channels: list[str] | None
    disabled: bool
    metadata: Metadata
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Endpoint) -> EndpointOut:
        """Show a row."""
        return cls(**fields(row))


def fields(row: Endpoint) -> dict[str, Any]:
    """Return what is shown of an endpoint, by name."""
    return {
        "id": row.id,
        "uid": row.uid,
        "url": row.url,
        "description": row.description,
        "throttle_rate": row.throttle_rate,
        "event_types": row.event_types,
        "channels": row.channels,
        "disabled": bool(row.disabled),
        "metadata": row.metadata,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }


class SecretOut(Body, kw_only=True):
    """The secret that signs."""

    key: str


class SecretRotateIn(Body, kw_only=True):
    """A rotation: the new secret (made when missing), and for how long the old one signs too."""

    key: str | None = None
    grace_period_seconds: Annotated[int, Meta(ge=0, le=604_800)] = 86_400


class HeadersIn(Body, kw_only=True):
    """The headers that are added to each request."""

    headers: Headers


class HeadersPatch(Body, kw_only=True):
    """Headers to add or replace, and names of those to remove."""

    headers: Headers = msgspec.field(default_factory=dict)
    delete_headers: list[str] | None = None


class HeadersOut(Body, kw_only=True):
    """The headers that are added to each request; values of the sensitive ones are not shown."""

    headers: dict[str, str]
    sensitive: list[str]


class StatsOut(Body, kw_only=True):
    """How many deliveries to an endpoint stand how."""

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
    """Send again what failed for good in a period."""

    since: datetime
    until: datetime | None = None


class ExampleIn(Body, kw_only=True):
    """An example to send: that of the event type's schema, or the given payload."""

    event_type: Name
    example_index: Annotated[int, Meta(ge=0)] = 0
    payload: dict[str, Any] | None = None


class TaskOut(Body, kw_only=True):
    """A task that runs in the background."""

    id: str
    status: str
    task: str
    updated_at: datetime
