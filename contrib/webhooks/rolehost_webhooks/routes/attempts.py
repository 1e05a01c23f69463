"""Attempts, by endpoint and by message, and the delivery status of messages and endpoints."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks import rules
from rolehost_webhooks.domain import endpoints, messages
from rolehost_webhooks.errors import NotFound
from rolehost_webhooks.models import Attempt, Status
from rolehost_webhooks.models.delivery import COLLAPSED
from rolehost_webhooks.repositories import attempts as repository
from rolehost_webhooks.repositories import deliveries
from rolehost_webhooks.routes.messages import message_filter
from rolehost_webhooks.routes.responder import (
    answer,
    answer_page,
    cursor,
    no_content,
    query,
    responder,
)
from rolehost_webhooks.schemas.attempts import (
    AttemptListQuery,
    AttemptOut,
    EndpointMessageListQuery,
    EndpointMessageOut,
    ExpandedQuery,
    MessageEndpointOut,
)
from rolehost_webhooks.schemas.common import Empty, ListOut, PageQuery
from rolehost_webhooks.schemas.messages import MessageOut

TAG = "Message Attempt"


def _answer_attempts(resp: Any, wanted: AttemptListQuery, **chosen: str | None) -> None:
    """Answer with a page of attempts, the newest first."""
    page = repository.listing(
        cursor(wanted, descending=True),
        message_filter(wanted),
        status=wanted.status,
        status_class=wanted.status_code_class,
        with_content=wanted.with_msg and wanted.with_content,
        **chosen,
    )

    def shown(row: Attempt) -> AttemptOut:
        message = None
        if wanted.with_msg:
            message = MessageOut.of(row.message, with_content=wanted.with_content)
        return AttemptOut.of(row, with_content=wanted.with_content, message=message)

    answer_page(resp, page, shown)


class AttemptsByEndpoint:
    """``/app/{app_id}/attempt/endpoint/{endpoint_id}``."""

    @responder(
        TAG,
        summary="List attempts by endpoint",
        query=AttemptListQuery,
        responses={200: ListOut[AttemptOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """List the attempts at an endpoint."""
        endpoint = endpoints.get(app_id, endpoint_id)
        _answer_attempts(resp, query(req, AttemptListQuery), endpoint_id=endpoint.id)


class AttemptsByMessage:
    """``/app/{app_id}/attempt/msg/{msg_id}``; older clients: ``…/msg/{msg_id}/attempt``."""

    @responder(
        TAG,
        summary="List attempts by message",
        query=AttemptListQuery,
        responses={200: ListOut[AttemptOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str, msg_id: str) -> None:
        """List the attempts at a message, at all endpoints or at one."""
        wanted = query(req, AttemptListQuery)
        _answer_attempts_of_message(resp, wanted, app_id, msg_id, wanted.endpoint_id)


class AttemptsAtEndpoint:
    """``/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt``, of older clients."""

    @responder(
        TAG,
        summary="List attempts by message and endpoint",
        query=AttemptListQuery,
        responses={200: ListOut[AttemptOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str, msg_id: str, endpoint_id: str) -> None:
        """List the attempts at a message at one endpoint."""
        wanted = query(req, AttemptListQuery)
        _answer_attempts_of_message(resp, wanted, app_id, msg_id, endpoint_id)


def _answer_attempts_of_message(
    resp: Any, wanted: AttemptListQuery, app_id: str, msg_id: str, endpoint: str | None
) -> None:
    """Answer with attempts at a message, at all endpoints or at one."""
    message = messages.get(app_id, msg_id)
    endpoint_id = None if endpoint is None else endpoints.within(message.app_id, endpoint).id
    _answer_attempts(resp, wanted, message_id=message.id, endpoint_id=endpoint_id)


def _attempt(app_id: str, msg_id: str, attempt_id: str) -> Attempt:
    message = messages.get(app_id, msg_id)
    attempt = repository.find(message.id, rules.reference(attempt_id, "Attempt"))
    if attempt is None:
        raise NotFound("Attempt")
    return attempt


class OneAttempt:
    """``/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}``."""

    @responder(TAG, summary="Get an attempt", query=ExpandedQuery, responses={200: AttemptOut})
    def on_get(self, _req: Any, resp: Any, app_id: str, msg_id: str, attempt_id: str) -> None:
        """Get an attempt."""
        answer(resp, AttemptOut.of(_attempt(app_id, msg_id, attempt_id)))


class AttemptContent:
    """``…/content``."""

    @responder(TAG, summary="Delete an attempt's response", responses={204: None})
    def on_delete(self, req: Any, resp: Any, app_id: str, msg_id: str, attempt_id: str) -> None:
        """Permanently remove the recorded response."""
        with req.context.services.unit_of_work():
            repository.expunge(_attempt(app_id, msg_id, attempt_id))
        no_content(resp)


class MessageEndpoints:
    """``/app/{app_id}/msg/{msg_id}/endpoint``."""

    @responder(
        TAG,
        summary="List a message's endpoints",
        query=PageQuery,
        responses={200: ListOut[MessageEndpointOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str, msg_id: str) -> None:
        """List the endpoints that a message is sent to, with the delivery status."""
        message = messages.get(app_id, msg_id)
        page = deliveries.by_message(message.id, cursor(query(req, PageQuery)))
        answer_page(resp, page, MessageEndpointOut.of_delivery)


class EndpointMessages:
    """``/app/{app_id}/endpoint/{endpoint_id}/msg``."""

    @responder(
        TAG,
        summary="List an endpoint's messages",
        query=EndpointMessageListQuery,
        responses={200: ListOut[EndpointMessageOut]},
    )
    def on_get(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """List the messages that are sent to an endpoint with their status, the newest first."""
        endpoint = endpoints.get(app_id, endpoint_id)
        wanted = query(req, EndpointMessageListQuery)
        page = deliveries.by_endpoint(
            endpoint.id,
            cursor(wanted, descending=True),
            message_filter(wanted),
            _statuses(wanted),
            with_content=wanted.with_content,
        )
        answer_page(
            resp,
            page,
            lambda row: EndpointMessageOut.of_delivery(
                row, with_content=wanted.with_content, expanded=_knows_all_statuses(wanted)
            ),
        )


def _knows_all_statuses(wanted: EndpointMessageListQuery) -> bool:
    """Return whether the client knows all five statuses.

    It does if it sets ``expanded_statuses`` or asks for one of the two newer statuses.
    """
    return wanted.expanded_statuses or wanted.status in COLLAPSED


def _statuses(wanted: EndpointMessageListQuery) -> list[Status]:
    """Return the statuses to select.

    An older client knows three statuses. Each newer status is shown to it as one of these, and is
    selected together with it.
    """
    if wanted.status is None:
        return []
    asked = Status(wanted.status)
    if _knows_all_statuses(wanted):
        return [asked]
    return [asked, *[hidden for hidden, shown in COLLAPSED.items() if shown == asked]]


class Resend:
    """``/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend``."""

    @responder(TAG, summary="Send a message again", responses={202: Empty})
    def on_post(self, req: Any, resp: Any, app_id: str, msg_id: str, endpoint_id: str) -> None:
        """Send a message to one endpoint again."""
        messages.resend(req.context.services, app_id, msg_id, endpoint_id)
        answer(resp, Empty(), 202)
