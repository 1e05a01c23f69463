"""Events about the outcome of deliveries, published to the topic from the settings.

``endpoint.disabled`` and ``message.attempt.exhausted``, ``.failing`` and ``.recovered`` have the
types and fields of the operational webhooks (messages to the operator about deliveries) of Svix, a
webhook service. Svix has no such webhook for every success.

The events can become messages themselves, as operational webhooks. No event is published about
the delivery of such a message, because that would be an endless loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rolehost.api import Event

from rolehost_webhooks.delivery.verdict import Verdict
from rolehost_webhooks.models import Attempt, Status

SUCCEEDED = "message.attempt.succeeded"
EXHAUSTED = "message.attempt.exhausted"
FAILING = "message.attempt.failing"
RECOVERED = "message.attempt.recovered"
DISABLED = "endpoint.disabled"

#: Event types of the messages about outcomes.
TYPES = frozenset({SUCCEEDED, EXHAUSTED, FAILING, RECOVERED, DISABLED})

#: Number of the attempt whose failure is an event although another attempt follows.
FAILING_ATTEMPT = 4


def events(
    topic: str,
    attempt: Attempt,
    verdict: Verdict,
    failing_since: int | None = None,
    number: int = 1,
) -> Iterator[Event[dict[str, Any]]]:
    """Yield the events after an attempt. If it is retried, only the fourth attempt has one.

    The key is the endpoint's id, so the events of one endpoint stay in order.

    Args:
        failing_since: when the endpoint began to fail, in milliseconds; None: with this attempt.
        number: number of the attempt in the schedule of the delivery, from 1.
    """
    if verdict.delay is not None and number != FAILING_ATTEMPT:
        return
    endpoint = {"appId": attempt.app_id, "endpointId": attempt.endpoint_id}
    ended_at = attempt.created_at + attempt.duration
    time = datetime.fromtimestamp(ended_at / 1000, UTC)
    last: dict[str, Any] = {
        "id": attempt.id,
        "responseStatusCode": attempt.response_status,
        "timestamp": _iso(ended_at),
    }
    if attempt.cause is not None:
        last |= {"cause": attempt.cause, "response": attempt.response}

    def event(kind: str, subject: str, data: dict[str, Any]) -> Event[dict[str, Any]]:
        return Event(
            topic=topic, type=kind, data=data, key=attempt.endpoint_id, subject=subject, time=time
        )

    message = {**endpoint, "msgId": attempt.message_id, "lastAttempt": last}
    if verdict.delay is not None:
        yield event(FAILING, attempt.message_id, message)
        return
    succeeded = verdict.status == Status.SUCCESS
    yield event(SUCCEEDED if succeeded else EXHAUSTED, attempt.message_id, message)
    if succeeded and number > FAILING_ATTEMPT:
        yield event(RECOVERED, attempt.message_id, message)
    if verdict.disable:
        since = _iso(ended_at if failing_since is None else failing_since)
        disabled = {**endpoint, "failSince": since, "trigger": "automatic"}
        yield event(DISABLED, attempt.endpoint_id, disabled)


def _iso(milliseconds: int) -> str:
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
