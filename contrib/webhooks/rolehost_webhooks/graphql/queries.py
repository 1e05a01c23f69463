"""Queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import strawberry

from rolehost_webhooks.domain import applications, endpoints, event_types, messages
from rolehost_webhooks.errors import NotFound
from rolehost_webhooks.graphql.paging import (
    DEFAULT_SIZE,
    Connection,
    check_after,
    check_first,
    connection,
)
from rolehost_webhooks.graphql.types import Application, Endpoint, EventType, Message
from rolehost_webhooks.repositories import applications as application_rows
from rolehost_webhooks.repositories import event_types as event_type_rows
from rolehost_webhooks.repositories import messages as message_rows
from rolehost_webhooks.repositories.paging import Cursor, by_id
from rolehost_webhooks.rules import Name, validate
from rolehost_webhooks.schemas.common import milliseconds

T = TypeVar("T")


def _or_none(find: Callable[..., Any], convert: Callable[[Any], T], *references: str) -> T | None:
    """Return the object that ``find`` returns, or None if it does not exist."""
    try:
        return convert(find(*references))
    except NotFound:
        return None


@strawberry.type
class Query:
    """Query fields of this package. Objects are found by id or uid."""

    @strawberry.field(description="Applications, the oldest first.")
    def applications(
        self,
        first: int = DEFAULT_SIZE,
        after: str | None = None,
        exclude_apps_with_no_endpoints: bool = False,
    ) -> Connection[Application]:
        cursor = Cursor(limit=check_first(first), iterator=check_after(after), descending=False)
        found = application_rows.listing(cursor, without_empty=exclude_apps_with_no_endpoints)
        return connection(found, Application.of, by_id)

    @strawberry.field(description="The application of this id or uid.")
    def application(self, id: strawberry.ID) -> Application | None:
        return _or_none(applications.get, Application.of, id)

    @strawberry.field(description="The endpoint of this id or uid.")
    def endpoint(
        self,
        application: strawberry.ID,
        id: strawberry.ID,
    ) -> Endpoint | None:
        return _or_none(endpoints.get, Endpoint.of, application, id)

    @strawberry.field(description="The message of this id or eventId.")
    def message(
        self,
        application: strawberry.ID,
        id: strawberry.ID,
    ) -> Message | None:
        return _or_none(messages.get, Message.of, application, id)

    @strawberry.field(description="Messages of an application, the newest first.")
    def messages(
        self,
        application: strawberry.ID,
        first: int = DEFAULT_SIZE,
        after: str | None = None,
        event_types: list[str] | None = None,
        channel: str | None = None,
        tag: str | None = None,
        before: datetime | None = None,
        since: datetime | None = None,
    ) -> Connection[Message]:
        found = message_rows.listing(
            applications.get(application).id,
            Cursor(limit=check_first(first), iterator=check_after(after), descending=True),
            message_rows.Filter(
                event_types=validate(event_types or [], list[Name], ("eventTypes",)),
                channel=validate(channel, Name, ("channel",)),
                tag=validate(tag, Name, ("tag",)),
                before=milliseconds(before),
                after=milliseconds(since),
            ),
            with_content=False,
        )
        return connection(found, Message.of, by_id)

    @strawberry.field(description="The catalogue of event types, by name.")
    def event_types(
        self, first: int = DEFAULT_SIZE, after: str | None = None, include_archived: bool = False
    ) -> Connection[EventType]:
        cursor = Cursor(limit=check_first(first), iterator=check_after(after), descending=False)
        found = event_type_rows.listing(cursor, archived=include_archived)
        return connection(found, EventType.of, lambda row: str(row.name))

    @strawberry.field(description="The event type of this name.")
    def event_type(self, name: str) -> EventType | None:
        return _or_none(event_types.get, EventType.of, name)
