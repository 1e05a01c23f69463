"""Actor ``webhooks.deliver``: one message to one endpoint, signed, recorded, tried again.

The request is sent outside of any transaction; what came of it is recorded in one, together
with the job's own state. A process that dies between the two sends again, under the same
``webhook-id``, by which receivers recognise it.
"""

from __future__ import annotations

from dataclasses import replace

from rolehost.api import Actor, Dead, JobContext, Outcome, Retry, RetryPolicy, Services, actor

from rolehost_webhooks import ids, signing
from rolehost_webhooks.actors import QUEUE
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.verdict import Verdict, judge
from rolehost_webhooks.models import Attempt, Endpoint, Message, Status, Trigger
from rolehost_webhooks.repositories import attempts, deliveries, endpoints, messages
from rolehost_webhooks.settings import DeliverySettings

PLUGIN = "webhooks-delivery"

JSON = "application/json"


@actor(name="webhooks.deliver", queue=QUEUE)
def deliver(
    job: JobContext, message_id: str, endpoint_id: str, trigger: int = Trigger.SCHEDULED
) -> Outcome:
    """Send a message to an endpoint, unless that has become needless or impossible."""
    services = job.services
    delivery = deliveries.find(message_id, endpoint_id)
    if delivery is None or (delivery.status == Status.SUCCESS and trigger == Trigger.SCHEDULED):
        return None  # removed meanwhile, or a manual attempt was faster
    message = messages.content(message_id)
    endpoint = endpoints.by_id(endpoint_id)
    if not _sendable(message, endpoint, trigger):
        with services.unit_of_work():
            deliveries.cancel(message_id, endpoint_id, services.clock.now())
        return None
    assert message is not None and endpoint is not None  # as _sendable saw
    started = services.clock.now()
    answer = _send(services, message, endpoint, started)
    settings: DeliverySettings = services.settings(PLUGIN)
    verdict = judge(
        answer,
        planned=policy(settings).delay(job.attempt, services.random),
        last=job.last_attempt,
        longest=settings.retry_after_longest,
        now=services.clock.now(),
    )
    _record(job, _attempt(job, message, endpoint, trigger, started, answer, verdict), verdict)
    if verdict.delay is not None:
        return Retry(verdict.reason, verdict.delay)
    return Dead(verdict.reason) if verdict.status == Status.FAIL else None


def configured(settings: DeliverySettings) -> Actor:
    """Return the actor with the schedule and the time limit of the settings."""
    # Connecting, sending, waiting and reading each have the whole timeout.
    return replace(deliver, retry=policy(settings), time_limit=settings.timeout * 4 + 30)


def policy(settings: DeliverySettings) -> RetryPolicy:
    """Return the retry policy that the settings describe."""
    return RetryPolicy(
        attempts=len(settings.schedule) + 1, delays=settings.schedule, jitter=settings.jitter
    )


def _sendable(message: Message | None, endpoint: Endpoint | None, trigger: int) -> bool:
    if message is None or message.payload is None or endpoint is None:
        return False
    return not endpoint.disabled or trigger == Trigger.MANUAL


def _send(services: Services, message: Message, endpoint: Endpoint, now: int) -> Answer:
    # Imported here: who only enqueues this actor needs no HTTP client.
    from rolehost_webhooks.delivery.sender import Sender

    body = bytes(message.payload)
    signed = signing.headers(endpoint.signing_secrets(now), message.id, now // 1000, body)
    kind = {"content-type": message.content_type or JSON}
    return services.get(Sender).post(endpoint.url, {**endpoint.headers, **kind, **signed}, body)


def _attempt(
    job: JobContext,
    message: Message,
    endpoint: Endpoint,
    trigger: int,
    started: int,
    answer: Answer,
    verdict: Verdict,
) -> Attempt:
    return Attempt(
        id=ids.new(ids.ATTEMPT, job.services),
        app_id=message.app_id,
        message_id=message.id,
        endpoint_id=endpoint.id,
        url=endpoint.url,
        response=answer.body,
        response_status=answer.status,
        duration=answer.duration,
        status=Status.SUCCESS if verdict.status == Status.SUCCESS else Status.FAIL,
        trigger=trigger,
        created_at=started,
    )


def _record(job: JobContext, attempt: Attempt, verdict: Verdict) -> None:
    """Write attempt and delivery; they commit when the job ends, together with its state."""
    now = job.services.clock.now()
    later = None if verdict.delay is None else now + int(verdict.delay * 1000)
    with job.services.unit_of_work():
        attempts.insert(attempt)
        deliveries.attempted(attempt.message_id, attempt.endpoint_id, verdict.status, later, now)
        if verdict.disable:
            endpoints.disable(attempt.endpoint_id, now)
