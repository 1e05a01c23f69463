"""Delivery statistics of an endpoint, and recovery of undelivered messages."""

from __future__ import annotations

from datetime import datetime

from rolehost.api import Services

from rolehost_webhooks import ids
from rolehost_webhooks.actors.recover import recover as recover_actor
from rolehost_webhooks.domain import endpoints
from rolehost_webhooks.errors import Rejected
from rolehost_webhooks.models import Status
from rolehost_webhooks.repositories import deliveries
from rolehost_webhooks.schemas.common import milliseconds

#: The default period of statistics: 28 days, in milliseconds.
PERIOD = 28 * 24 * 3_600_000


def stats(
    services: Services,
    app_reference: str,
    reference: str,
    since: datetime | None,
    until: datetime | None,
) -> dict[Status, int]:
    """Count an endpoint's deliveries by status, for the messages of a period.

    Raises:
        NotFound: application or endpoint do not exist.
    """
    endpoint = endpoints.get(app_reference, reference)
    return deliveries.counts(endpoint.id, *period(services, since, until))


def period(services: Services, since: datetime | None, until: datetime | None) -> tuple[str, str]:
    """Return the first and the last message id of a period; by default the last 28 days."""
    last = milliseconds(until) or services.clock.now()
    first = milliseconds(since) or last - PERIOD
    return _bounds(first, last)


def recover(
    services: Services,
    app_reference: str,
    reference: str,
    since: datetime,
    until: datetime | None,
) -> str:
    """Resend failed and cancelled messages in the background.

    Returns:
        The task's id.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: the period ends before it starts.
    """
    first = milliseconds(since) or 0
    last = milliseconds(until) or services.clock.now()
    if last < first:
        raise Rejected(("body", "until"), "must not be before since")
    with services.unit_of_work() as work:
        endpoint = endpoints.get(app_reference, reference)
        low, high = _bounds(first, last)
        work.enqueue(recover_actor, endpoint_id=endpoint.id, first=low, last=high)
    return ids.new(ids.TASK, services)


def _bounds(first: int, last: int) -> tuple[str, str]:
    return ids.first_at(ids.MESSAGE, first), ids.last_at(ids.MESSAGE, last)
