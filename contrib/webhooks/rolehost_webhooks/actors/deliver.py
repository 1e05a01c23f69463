"""Actor ``webhooks.deliver``: sends one message to one endpoint, records and retries it.

The request is sent on the event loop of the worker, outside a transaction. Its result is recorded
in one transaction together with the job's state; attempts that end together share it. If the
process dies between the two, the request is sent again with the same ``webhook-id``, so that
receivers can ignore the duplicate (at-least-once delivery).
"""

from __future__ import annotations

import logging
from dataclasses import replace

from rolehost.api import (
    Actor,
    Complete,
    Dead,
    JobContext,
    Limits,
    Outcome,
    Retry,
    RetryPolicy,
    Services,
    actor,
)

from rolehost_webhooks import ids, outcomes, signing
from rolehost_webhooks.actors import QUEUE, breaker
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.verdict import Verdict, judge
from rolehost_webhooks.models import Attempt, Message, Status, Trigger
from rolehost_webhooks.repositories import attempts, cached, deliveries, endpoints
from rolehost_webhooks.repositories.cached import Target
from rolehost_webhooks.repositories.ordering import next_id
from rolehost_webhooks.settings import DeliverySettings

log = logging.getLogger(__name__)

PLUGIN = "webhooks-delivery"

JSON = "application/json"

#: Seconds of a job beside its request, which ends by its own deadline.
BESIDE_REQUEST = 30.0


@actor(
    name="webhooks.deliver",
    queue=QUEUE,
    partition="endpoint_id",
    partition_limits=Limits(concurrency=breaker.CONCURRENCY),
    grouped=True,
)
async def deliver(
    job: JobContext,
    message_id: str,
    endpoint_id: str,
    trigger: int = Trigger.SCHEDULED,
    once: bool = False,
) -> Outcome:
    """Send a message to an endpoint, if it still must and can be sent.

    Args:
        trigger: why the attempt is made; recorded with it.
        once: make one manual attempt outside the retry schedule. It is made whatever the
            delivery's status is, and it is not retried if it fails.
    """
    services = job.services
    found = await services.run(cached.delivery, services, message_id, endpoint_id)
    if found is None:
        return None  # removed since the job was enqueued
    delivery, target = found
    if delivery.status == Status.SUCCESS and not once:
        return None  # a manual attempt has already delivered it
    if not _sendable(delivery.message, target, once=once):
        return Complete(_cancel, services, message_id, endpoint_id)
    attempt = Attempt(
        app_id=target.app_id,
        message_id=message_id,
        endpoint_id=endpoint_id,
        url=target.url,
        trigger=trigger,
        created_at=services.clock.now(),
    )
    answer = await _send(services, delivery.message, target, attempt.created_at)
    settings: DeliverySettings = services.settings(PLUGIN)
    verdict = judge(
        answer,
        scheduled=policy(settings).delay(job.attempt, services.random),
        last=once or job.last_attempt,
        max_delay=settings.retry_after_longest,
        now=services.clock.now(),
    )
    failed = verdict.status != Status.SUCCESS
    if failed and not once and breaker.is_over(target, settings, services.clock.now()):
        verdict = Verdict(
            Status.FAIL, f"{verdict.reason}: the endpoint is now disabled", disable=True
        )
    _fill_in(attempt, answer, verdict)
    topic = None if delivery.message.event_type in outcomes.TYPES else settings.outcomes
    number = 0 if once else job.attempt
    return Complete(_record, services, attempt, verdict, topic, target, number)


def configure(settings: DeliverySettings) -> Actor:
    """Return the actor with the retry schedule and the time limit from the settings."""
    limit = settings.timeout + BESIDE_REQUEST
    return replace(deliver, retry=policy(settings), time_limit=limit)


def key_of(endpoint_id: str, **_: object) -> str:
    """Return the key of the deliveries to an endpoint that gets messages in their order.

    It is the partition of other endpoints too, so the limits of the endpoint apply to it.
    """
    return endpoint_id


def policy(settings: DeliverySettings) -> RetryPolicy:
    """Return the retry policy that the settings describe."""
    return RetryPolicy(
        attempts=len(settings.schedule) + 1, delays=settings.schedule, jitter=settings.jitter
    )


def _sendable(message: Message, target: Target, *, once: bool) -> bool:
    """Return whether the payload still exists and the endpoint takes deliveries."""
    if message.payload is None or target.deleted:
        return False
    return not target.disabled or once


def _cancel(services: Services, message_id: str, endpoint_id: str) -> None:
    with services.unit_of_work():
        deliveries.cancel(message_id, endpoint_id, services.clock.now())


async def _send(services: Services, message: Message, target: Target, now: int) -> Answer:
    # Imported here: a process that only enqueues this actor needs no HTTP client.
    from rolehost_webhooks.delivery.sender import Sender

    body = bytes(message.payload or b"")
    signed = signing.headers(target.signing_secrets(now), message.id, now // 1000, body)
    kind = {"content-type": message.content_type or JSON}
    sender = services.get(Sender)
    return await sender.post(target.url, {**target.headers, **kind, **signed}, body)


def _fill_in(attempt: Attempt, answer: Answer, verdict: Verdict) -> None:
    attempt.response = answer.body
    attempt.response_status = answer.status
    attempt.cause = answer.cause
    attempt.duration = answer.duration
    attempt.status = Status.SUCCESS if verdict.status == Status.SUCCESS else Status.FAIL


def _outcome(verdict: Verdict) -> Outcome:
    """Return the outcome of the job."""
    if verdict.delay is not None:
        return Retry(verdict.reason, verdict.delay)
    return Dead(verdict.reason) if verdict.status == Status.FAIL else None


def _log(attempt: Attempt, verdict: Verdict) -> None:
    """Log a failed manual attempt: its job is complete, so the host does not log a failure."""
    if verdict.status != Status.SUCCESS:
        log.warning(
            "manual attempt failed: message %s, endpoint %s: %s",
            attempt.message_id,
            attempt.endpoint_id,
            verdict.reason,
        )


def _record(
    services: Services,
    attempt: Attempt,
    verdict: Verdict,
    topic: str | None,
    target: Target,
    number: int,
) -> Outcome:
    """Write attempt, delivery and events, which commit together with the job's state.

    ``number``: that of the attempt in the schedule; 0 for a manual attempt outside of it. Returns
    the outcome of the job. If another attempt decides the delivery, the verdict does not apply to
    it.
    """
    once = number == 0
    now = services.clock.now()
    later = None if verdict.delay is None else now + int(verdict.delay * 1000)
    with services.unit_of_work() as work:
        attempt.id = next_id(Attempt, ids.ATTEMPT, services)
        attempts.insert(attempt)
        if once and verdict.status != Status.SUCCESS:
            ended = deliveries.record_failed_attempt(attempt.message_id, attempt.endpoint_id, now)
        else:
            ended = deliveries.record_attempt(
                attempt.message_id, attempt.endpoint_id, verdict.status, later, now
            )
        if verdict.disable:
            endpoints.disable(attempt.app_id, attempt.endpoint_id, services)
            breaker.count(services, work, "disabled")
        else:
            breaker.follow(services, work, attempt, target)
        since = target.failing_since
        told = () if topic is None else outcomes.events(topic, attempt, verdict, since, number)
        for event in told:
            if ended or event.type == outcomes.DISABLED:
                work.publish(event)
    if once:
        _log(attempt, verdict)
    return None if once or not ended else _outcome(verdict)
