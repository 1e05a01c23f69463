"""``/app/{app_id}/msg``: messages."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks.domain import applications, messages
from rolehost_webhooks.repositories import messages as repository
from rolehost_webhooks.routes.responder import (
    answer,
    answer_page,
    body,
    cursor,
    no_content,
    query,
    responder,
)
from rolehost_webhooks.schemas.common import ListOut, milliseconds
from rolehost_webhooks.schemas.messages import (
    ContentQuery,
    MessageIn,
    MessageListQuery,
    MessageOut,
    PeriodAndKindQuery,
)

TAG = "Message"


def message_filter(wanted: PeriodAndKindQuery) -> repository.Filter:
    """Return the filter of a listing from its query parameters."""
    return repository.Filter(
        event_types=wanted.event_types,
        channel=wanted.channel,
        tag=wanted.tag,
        before=milliseconds(wanted.before),
        after=milliseconds(wanted.after),
    )


class Messages:
    """``/app/{app_id}/msg``."""

    @responder(
        TAG,
        summary="List messages",
        query=MessageListQuery,
        responses={200: ListOut[MessageOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str) -> None:
        """List the messages of an application, the newest first."""
        wanted = query(req, MessageListQuery)
        page = repository.listing(
            applications.get(app_id).id,
            cursor(wanted, descending=True),
            message_filter(wanted),
            with_content=wanted.with_content,
        )
        answer_page(resp, page, lambda row: MessageOut.of(row, with_content=wanted.with_content))

    @responder(
        TAG,
        summary="Create a message",
        query=ContentQuery,
        request=MessageIn,
        responses={202: MessageOut},
    )
    def on_post(self, req: Any, resp: Any, app_id: str) -> None:
        """Create a message for all matching endpoints; it is durable after the answer."""
        message = messages.create(req.context.services, app_id, body(req, MessageIn))
        shown = MessageOut.of(message, with_content=query(req, ContentQuery).with_content)
        answer(resp, shown, 202)


class OneMessage:
    """``/app/{app_id}/msg/{msg_id}``."""

    @responder(TAG, summary="Get a message", query=ContentQuery, responses={200: MessageOut})
    def on_get(self, req: Any, resp: Any, app_id: str, msg_id: str) -> None:
        """Get a message by id or eventId."""
        message = messages.get(app_id, msg_id)
        answer(resp, MessageOut.of(message, with_content=query(req, ContentQuery).with_content))


class MessageContent:
    """``…/content``."""

    @responder(TAG, summary="Delete a message's payload", responses={204: None})
    def on_delete(self, req: Any, resp: Any, app_id: str, msg_id: str) -> None:
        """Permanently remove the payload; the message can no longer be sent."""
        messages.expunge(req.context.services, app_id, msg_id)
        no_content(resp)
