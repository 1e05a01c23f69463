"""Object types of the schema, with the same field names and meanings as in the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from rolehost.api import load_json
from rolehost_graphql import Context, Refused
from strawberry.scalars import JSON

from rolehost_webhooks import models
from rolehost_webhooks.domain.endpoints import SENSITIVE
from rolehost_webhooks.domain.recovery import period
from rolehost_webhooks.graphql import loaders
from rolehost_webhooks.graphql.paging import (
    DEFAULT_SIZE,
    Connection,
    Wanted,
    check_after,
    check_first,
    connection,
)
from rolehost_webhooks.repositories.paging import by_id
from rolehost_webhooks.schemas import endpoints as endpoint_schemas
from rolehost_webhooks.schemas.common import moment, moment_or_none
from rolehost_webhooks.schemas.messages import json_payload

Info = strawberry.Info[Context, None]


@strawberry.enum(name="DeliveryStatus")
class DeliveryStatus(Enum):
    """Status of a delivery or an attempt."""

    SUCCESS = models.Status.SUCCESS.value
    PENDING = models.Status.PENDING.value
    FAIL = models.Status.FAIL.value
    SENDING = models.Status.SENDING.value
    CANCELED = models.Status.CANCELED.value


AttemptCause = strawberry.enum(
    models.Cause, name="AttemptCause", description="Why there was no complete response."
)


async def _load_page(
    info: Info, batch: Callable[..., Any], parent: str, first: int, after: str | None
) -> Any:
    """Return a page of the rows of one parent, in one batch with those of other parents."""
    return await info.context.load(batch, Wanted(parent, check_first(first), check_after(after)))


@strawberry.type
class Application:
    """Owner of endpoints and messages; usually one customer."""

    id: strawberry.ID
    uid: str | None
    name: str
    throttle_rate: int | None
    metadata: JSON
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: models.Application) -> Application:
        """Convert a row."""
        return cls(
            id=strawberry.ID(row.id),
            uid=row.uid,
            name=row.name,
            throttle_rate=row.throttle_rate,
            metadata=row.metadata,
            created_at=moment(row.created_at),
            updated_at=moment(row.updated_at),
        )

    @strawberry.field(description="Its endpoints, the oldest first.")
    async def endpoints(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Endpoint]:
        found = await _load_page(info, loaders.endpoints_of, self.id, first, after)
        return connection(found, Endpoint.of, by_id)

    @strawberry.field(description="Its messages, the newest first.")
    async def messages(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Message]:
        found = await _load_page(info, loaders.messages_of, self.id, first, after)
        return connection(found, Message.of, by_id)


@strawberry.type
class EndpointStats:
    """Number of deliveries to an endpoint by status."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


@strawberry.type
class Endpoint:
    """A receiver of an application's messages."""

    row: strawberry.Private[models.Endpoint]
    id: strawberry.ID
    uid: str | None
    url: str
    description: str
    throttle_rate: int | None
    event_types: list[str] | None
    channels: list[str] | None
    disabled: bool
    metadata: JSON
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: models.Endpoint) -> Endpoint:
        """Convert a row."""
        shown: dict[str, Any] = endpoint_schemas.fields(row)
        for client_only in ("rate_limit", "filter_types", "version"):
            del shown[client_only]
        return cls(row=row, metadata=row.metadata, **shown)

    @strawberry.field(description="The signing secret, with which a receiver verifies webhooks.")
    def secret(self) -> str:
        return self.row.secret

    @strawberry.field(
        description="Headers that are added to each request, except `sensitiveHeaders`."
    )
    def headers(self) -> JSON:
        headers = self.row.headers
        shown = {name: text for name, text in headers.items() if name.lower() not in SENSITIVE}
        return JSON(shown)

    @strawberry.field(description="Names of added headers whose values are not shown.")
    def sensitive_headers(self) -> list[str]:
        return sorted(name for name in self.row.headers if name.lower() in SENSITIVE)

    @strawberry.field
    async def application(self, info: Info) -> Application:
        row = await info.context.load(loaders.applications, self.row.app_id)
        return Application.of(row)  # type: ignore[arg-type]  # the row exists as long as its endpoints

    @strawberry.field(description="Attempts at it, the newest first.")
    async def attempts(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Attempt]:
        found = await _load_page(info, loaders.attempts_by_endpoint, self.id, first, after)
        return connection(found, Attempt.of, by_id)

    @strawberry.field(description="Its deliveries with their status, the newest first.")
    async def deliveries(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Delivery]:
        found = await _load_page(info, loaders.deliveries_by_endpoint, self.id, first, after)
        return connection(found, Delivery.of, lambda row: str(row.message_id))

    @strawberry.field(
        description="Number of deliveries by status; by default of messages of the last 28 days.",
        metadata={"cost": 10},
    )
    async def stats(
        self, info: Info, since: datetime | None = None, until: datetime | None = None
    ) -> EndpointStats:
        wanted = loaders.Period(self.id, *period(info.context.services, since, until))
        counts = await info.context.load(loaders.stats, wanted)
        return EndpointStats(**{one.name.lower(): counts.get(one, 0) for one in models.Status})


@strawberry.type
class Message:
    """An event, stored once for all endpoints."""

    row: strawberry.Private[models.Message]
    id: strawberry.ID
    event_id: str | None
    event_type: str
    channels: list[str] | None
    tags: list[str] | None
    deliver_at: datetime | None
    timestamp: datetime

    @classmethod
    def of(cls, row: models.Message) -> Message:
        """Convert a row."""
        return cls(
            row=row,
            id=strawberry.ID(row.id),
            event_id=row.event_id,
            event_type=row.event_type,
            channels=row.channels,
            tags=row.tags,
            deliver_at=moment_or_none(row.deliver_at),
            timestamp=moment(row.created_at),
        )

    @strawberry.field(
        description='The body that receivers get; `{"expired": true}` if it was removed.',
        metadata={"cost": 1},
    )
    async def payload(self, info: Info) -> JSON:
        row = await info.context.load(loaders.contents, self.row.id)
        try:
            return JSON(load_json(bytes(json_payload(row or self.row))))
        except ValueError as error:
            raise Refused(f"The payload cannot be shown here: {error}") from None

    @strawberry.field
    async def application(self, info: Info) -> Application:
        row = await info.context.load(loaders.applications, self.row.app_id)
        return Application.of(row)  # type: ignore[arg-type]  # the row exists as long as its messages

    @strawberry.field(description="Attempts at all its endpoints, the newest first.")
    async def attempts(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Attempt]:
        found = await _load_page(info, loaders.attempts_by_message, self.id, first, after)
        return connection(found, Attempt.of, by_id)

    @strawberry.field(description="Its deliveries to endpoints, with their status.")
    async def deliveries(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Delivery]:
        found = await _load_page(info, loaders.deliveries_by_message, self.id, first, after)
        return connection(found, Delivery.of, lambda row: str(row.endpoint_id))


@strawberry.type
class Delivery:
    """The delivery of one message to one endpoint."""

    row: strawberry.Private[models.Delivery]
    status: DeliveryStatus
    next_attempt: datetime | None
    attempt_count: int

    @classmethod
    def of(cls, row: models.Delivery) -> Delivery:
        """Convert a row."""
        return cls(
            row=row,
            status=DeliveryStatus(row.status),
            next_attempt=moment_or_none(row.next_attempt),
            attempt_count=row.attempts,
        )

    @strawberry.field(description="Null if the message was removed.")
    async def message(self, info: Info) -> Message | None:
        row = await info.context.load(loaders.messages, self.row.message_id)
        return None if row is None else Message.of(row)

    @strawberry.field(description="Null if the endpoint was deleted.")
    async def endpoint(self, info: Info) -> Endpoint | None:
        return await _endpoint(info, self.row.endpoint_id)


@strawberry.type
class Attempt:
    """One request to one endpoint."""

    row: strawberry.Private[models.Attempt]
    id: strawberry.ID
    url: str
    response: str = strawberry.field(
        description="The beginning of the response; if the status is 0, the reason."
    )
    response_status_code: int = strawberry.field(description="0 if there was no complete response.")
    cause: AttemptCause | None = strawberry.field(description="Why there was no complete response.")
    response_duration_ms: int
    status: DeliveryStatus
    manual: bool = strawberry.field(description="Whether it was requested, not scheduled.")
    timestamp: datetime

    @classmethod
    def of(cls, row: models.Attempt) -> Attempt:
        """Convert a row."""
        return cls(
            row=row,
            id=strawberry.ID(row.id),
            url=row.url,
            response=row.response,
            response_status_code=row.response_status,
            cause=None if row.cause is None else AttemptCause(row.cause),
            response_duration_ms=row.duration,
            status=DeliveryStatus(row.status),
            manual=row.trigger == models.Trigger.MANUAL,
            timestamp=moment(row.created_at),
        )

    @strawberry.field
    async def message(self, info: Info) -> Message | None:
        row = await info.context.load(loaders.messages, self.row.message_id)
        return None if row is None else Message.of(row)

    @strawberry.field(description="Null if the endpoint was deleted.")
    async def endpoint(self, info: Info) -> Endpoint | None:
        return await _endpoint(info, self.row.endpoint_id)


async def _endpoint(info: Info, reference: str) -> Endpoint | None:
    row = await info.context.load(loaders.endpoints, reference)
    return None if row is None or row.deleted_at is not None else Endpoint.of(row)


@strawberry.type
class EventType:
    """An event type of the catalogue."""

    name: str
    description: str
    archived: bool
    deprecated: bool
    schemas: JSON | None = strawberry.field(description="JSON Schema by version.")
    group_name: str | None
    feature_flags: list[str] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: models.EventType) -> EventType:
        """Convert a row."""
        return cls(
            name=row.name,
            description=row.description,
            archived=bool(row.archived),
            deprecated=bool(row.deprecated),
            schemas=row.schemas,
            group_name=row.group_name,
            feature_flags=row.feature_flags,
            created_at=moment(row.created_at),
            updated_at=moment(row.updated_at),
        )
