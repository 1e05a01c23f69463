"""``/event-type``: the catalogue of event types."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks.domain import event_types
from rolehost_webhooks.repositories import event_types as repository
from rolehost_webhooks.routes.responder import (
    answer,
    answer_page,
    body,
    cursor,
    no_content,
    query,
    responder,
)
from rolehost_webhooks.schemas.common import ListOut
from rolehost_webhooks.schemas.event_types import (
    DeleteEventTypeQuery,
    EventTypeIn,
    EventTypeListQuery,
    EventTypeOut,
    EventTypePatch,
    EventTypePut,
)

TAG = "Event Type"


class EventTypes:
    """``/event-type``."""

    @responder(
        TAG,
        summary="List event types",
        query=EventTypeListQuery,
        responses={200: ListOut[EventTypeOut]},
    )
    def on_get(self, req: Any, resp: Any) -> None:
        """List event types, by name."""
        wanted = query(req, EventTypeListQuery)
        page = repository.listing(cursor(wanted), archived=wanted.include_archived)
        answer_page(resp, page, lambda row: EventTypeOut.of(row, with_content=wanted.with_content))

    @responder(
        TAG, summary="Create an event type", request=EventTypeIn, responses={201: EventTypeOut}
    )
    def on_post(self, req: Any, resp: Any) -> None:
        """Create an event type, or restore an archived one."""
        event_type = event_types.create(req.context.services, body(req, EventTypeIn))
        answer(resp, EventTypeOut.of(event_type), 201)


class OneEventType:
    """``/event-type/{event_type_name}``."""

    @responder(TAG, summary="Get an event type", responses={200: EventTypeOut})
    def on_get(self, _req: Any, resp: Any, event_type_name: str) -> None:
        """Get an event type by name."""
        answer(resp, EventTypeOut.of(event_types.get(event_type_name)))

    @responder(
        TAG,
        summary="Replace an event type",
        request=EventTypePut,
        responses={200: EventTypeOut, 201: EventTypeOut},
    )
    def on_put(self, req: Any, resp: Any, event_type_name: str) -> None:
        """Replace an event type, or create it."""
        event_type, created = event_types.put(
            req.context.services, event_type_name, body(req, EventTypePut)
        )
        answer(resp, EventTypeOut.of(event_type), 201 if created else 200)

    @responder(
        TAG,
        summary="Change an event type",
        request=EventTypePatch,
        responses={200: EventTypeOut},
    )
    def on_patch(self, req: Any, resp: Any, event_type_name: str) -> None:
        """Change the given fields of an event type."""
        event_type = event_types.patch(
            req.context.services, event_type_name, body(req, EventTypePatch)
        )
        answer(resp, EventTypeOut.of(event_type))

    @responder(
        TAG, summary="Delete an event type", query=DeleteEventTypeQuery, responses={204: None}
    )
    def on_delete(self, req: Any, resp: Any, event_type_name: str) -> None:
        """Archive an event type, or with ``expunge`` remove it."""
        expunge = query(req, DeleteEventTypeQuery).expunge
        event_types.delete(req.context.services, event_type_name, expunge=expunge)
        no_content(resp)
