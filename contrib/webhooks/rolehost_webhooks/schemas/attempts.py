"""Bodies of attempts, and of the delivery status of messages and endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rolehost_webhooks.models import Attempt, Cause, Delivery, Status
from rolehost_webhooks.models.delivery import COLLAPSED
from rolehost_webhooks.schemas import endpoints, messages
from rolehost_webhooks.schemas.common import Body, moment, moment_or_none, or_absent
from rolehost_webhooks.schemas.endpoints import EndpointFieldsOut
from rolehost_webhooks.schemas.messages import MessageOut, PeriodAndKindQuery

#: Placeholder for a response if the client did not request content.
WITHOUT_CONTENT = "{}"


class AttemptOut(Body, kw_only=True):
    """One request to one endpoint.

    Attributes:
        response: the beginning of the response; if the status is 0, one line with the reason.
        response_status_code: HTTP status; 0 if there was no complete HTTP response.
        cause: why there was no complete HTTP response; absent if there was one.
        msg: the message; absent unless requested, because some clients cannot read null here.
    """

    id: str
    msg_id: str
    endpoint_id: str
    url: str
    response: str
    response_status_code: int
    cause: Cause | UnsetType
    response_duration_ms: int
    status: int
    status_text: str
    trigger_type: int
    timestamp: datetime
    msg: MessageOut | UnsetType = UNSET

    @classmethod
    def of(
        cls, row: Attempt, *, with_content: bool = True, message: MessageOut | None = None
    ) -> AttemptOut:
        """Convert a row. A response is content; the reason for a missing one is always shown."""
        cause = None if row.cause is None else Cause(row.cause)
        return cls(
            id=row.id,
            msg_id=row.message_id,
            endpoint_id=row.endpoint_id,
            url=row.url,
            response=row.response if with_content or cause else WITHOUT_CONTENT,
            response_status_code=row.response_status,
            cause=or_absent(cause),
            response_duration_ms=row.duration,
            status=row.status,
            status_text=Status(row.status).name.lower(),
            trigger_type=row.trigger,
            timestamp=moment(row.created_at),
            msg=or_absent(message),
        )


def status_fields(row: Delivery, *, expanded: bool) -> dict[str, Any]:
    """Return the fields that show a delivery, by name; ``expanded`` shows all five statuses."""
    status = Status(row.status)
    if not expanded:
        status = COLLAPSED.get(status, status)
    return {
        "status": int(status),
        "status_text": status.name.lower(),
    }


class MessageEndpointOut(EndpointFieldsOut, kw_only=True):
    """An endpoint, with the delivery status of one message."""

    status: int
    status_text: str
    next_attempt: datetime | None

    @classmethod
    def of_delivery(cls, row: Delivery) -> MessageEndpointOut:
        """Convert a row that has its ``endpoint``."""
        return cls(
            **endpoints.fields(row.endpoint),
            **status_fields(row, expanded=True),
            next_attempt=moment_or_none(row.next_attempt),
        )


class EndpointMessageOut(MessageOut, kw_only=True):
    """A message, with the delivery status; ``next_attempt`` is absent if there is no retry."""

    status: int
    status_text: str
    next_attempt: datetime | UnsetType

    @classmethod
    def of_delivery(
        cls, row: Delivery, *, with_content: bool, expanded: bool
    ) -> EndpointMessageOut:
        """Convert a row that has its ``message``."""
        return cls(
            **messages.fields(row.message, with_content=with_content),
            **status_fields(row, expanded=expanded),
            next_attempt=or_absent(moment_or_none(row.next_attempt)),
        )


class AttemptListQuery(PeriodAndKindQuery, kw_only=True):
    """Query parameters of both listings of attempts."""

    status: Literal[0, 1, 2, 3, 4] | None = None
    status_code_class: Literal[0, 100, 200, 300, 400, 500] | None = None
    endpoint_id: str | None = None
    with_content: bool = True
    with_msg: bool = False
    expanded_statuses: bool = False


class EndpointMessageListQuery(PeriodAndKindQuery, kw_only=True):
    """Query parameters of the listing of an endpoint's messages."""

    status: Literal[0, 1, 2, 3, 4] | None = None
    with_content: bool = True
    expanded_statuses: bool = False


class ExpandedQuery(msgspec.Struct):
    """``expanded_statuses`` returns all five statuses."""

    expanded_statuses: bool = False
