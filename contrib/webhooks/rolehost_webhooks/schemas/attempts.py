"""Bodies of attempts, and of how messages and endpoints stand with each other."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from rolehost_webhooks.models import Attempt, Delivery, Status
from rolehost_webhooks.models.delivery import COLLAPSED
from rolehost_webhooks.schemas import endpoints, messages
from rolehost_webhooks.schemas.common import Body, moment, moment_or_none
from rolehost_webhooks.schemas.endpoints import EndpointOut
from rolehost_webhooks.schemas.messages import MessageOut, PeriodAndKindQuery


class AttemptOut(Body, kw_only=True):
    """One request to one endpoint; ``response_status_code`` is 0 when none came back."""

    id: str
    msg_id: str
    endpoint_id: str
    url: str
    response: str
    response_status_code: int
    response_duration_ms: int
    status: int
    status_text: str
    trigger_type: int
    timestamp: datetime
    msg: MessageOut | None = None

    @classmethod
    def of(
        cls, row: Attempt, *, with_content: bool = True, message: MessageOut | None = None
    ) -> AttemptOut:
        """Show a row, with what came back or without."""
        return cls(
            id=row.id,
            msg_id=row.message_id,
            endpoint_id=row.endpoint_id,
            url=row.url,
            response=row.response if with_content else "",
            response_status_code=row.response_status,
            response_duration_ms=row.duration,
            status=row.status,
            status_text=Status(row.status).name.lower(),
            trigger_type=row.trigger,
            timestamp=moment(row.created_at),
            msg=message,
        )


def standing(row: Delivery, *, expanded: bool) -> dict[str, Any]:
    """Return what is shown of a delivery, by name; ``expanded`` tells all five statuses."""
    status = Status(row.status)
    if not expanded:
        status = COLLAPSED.get(status, status)
    return {
        "status": int(status),
        "status_text": status.name.lower(),
        "next_attempt": moment_or_none(row.next_attempt),
    }


class MessageEndpointOut(EndpointOut, kw_only=True):
    """An endpoint, and how one message stands with it."""

    status: int
    status_text: str
    next_attempt: datetime | None

    @classmethod
    def of_delivery(cls, row: Delivery) -> MessageEndpointOut:
        """Show a row that has its ``endpoint``."""
        return cls(**endpoints.fields(row.endpoint), **standing(row, expanded=True))


class EndpointMessageOut(MessageOut, kw_only=True):
    """A message, and how it stands with one endpoint."""

    status: int
    status_text: str
    next_attempt: datetime | None

    @classmethod
    def of_delivery(
        cls, row: Delivery, *, with_content: bool, expanded: bool
    ) -> EndpointMessageOut:
        """Show a row that has its ``message``."""
        return cls(
            **messages.fields(row.message, with_content=with_content),
            **standing(row, expanded=expanded),
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
    """``expanded_statuses`` tells all five statuses apart."""

    expanded_statuses: bool = False
