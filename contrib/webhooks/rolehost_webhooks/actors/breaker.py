"""The circuit breaker of an endpoint: while the endpoint fails, it gets one request at a time.

An endpoint is *failing* after ``probe_after`` failed attempts in a row. From then on each attempt
is a probe: the limit of the endpoint's partition is one. The first success ends it.

Nothing is counted: a failed attempt reads the attempts before it, so that attempts at one endpoint
never wait for each other's transactions. Only the changes write the endpoint.
"""

from __future__ import annotations

import logging

from rolehost.api import Limits, Services, UnitOfWork

from rolehost_webhooks.metrics import BREAKER
from rolehost_webhooks.models import Attempt, Status
from rolehost_webhooks.repositories import attempts, endpoints
from rolehost_webhooks.repositories.cached import Target
from rolehost_webhooks.settings import DeliverySettings

log = logging.getLogger(__name__)

DELIVER = "webhooks.deliver"

#: Requests to one endpoint at the same time, over the whole fleet, so that a slow endpoint does not
#: have all connections of a worker.
CONCURRENCY = 4

_DAY = 86_400_000


def limits(throttle_rate: int | None, *, failing: bool) -> Limits | None:
    """Return the limits of an endpoint; None: those of every endpoint.

    The requests of a burst could be sent at the same time anyway.
    """
    concurrency = 1 if failing else CONCURRENCY
    if throttle_rate is not None:
        burst = min(throttle_rate, concurrency)
        return Limits(concurrency=concurrency, rate=throttle_rate, burst=burst)
    return Limits(concurrency=concurrency) if failing else None


def is_over(target: Target, settings: DeliverySettings, now: int) -> bool:
    """Return whether an endpoint has failed for so long that it must be disabled."""
    since, days = target.failing_since, settings.disable_after_days
    return since is not None and bool(days) and now - since >= days * _DAY


def follow(services: Services, work: UnitOfWork, attempt: Attempt, target: Target) -> None:
    """Open or close the breaker of an endpoint after a recorded attempt."""
    settings: DeliverySettings = services.settings("webhooks-delivery")
    if attempt.status == Status.SUCCESS:
        if target.failing_since is not None:
            _change(services, work, attempt, None)
    elif target.failing_since is None and attempts.have_failed(
        attempt.endpoint_id, settings.probe_after
    ):
        _change(services, work, attempt, services.clock.now())


def count(services: Services, work: UnitOfWork, change: str) -> None:
    """Count a change of an endpoint when it is committed."""
    work.after_commit(lambda: services.measure(BREAKER, 1, change))


def _change(services: Services, work: UnitOfWork, attempt: Attempt, since: int | None) -> None:
    """Let an endpoint fail since a time, or recover (None), unless another attempt did so."""
    changed = endpoints.set_failing(attempt.app_id, attempt.endpoint_id, since, services)
    if changed is None:
        return
    failing = since is not None
    work.limit_partition(
        DELIVER, attempt.endpoint_id, limits(changed.throttle_rate, failing=failing)
    )
    count(services, work, "failing" if failing else "recovered")
    if failing:
        log.warning("endpoint %s fails: it gets one request at a time", attempt.endpoint_id)
    else:
        log.info("endpoint %s has recovered", attempt.endpoint_id)
