"""Events about the end of deliveries, for programs that read the topic of the settings.

Types and fields are those of Svix's operational webhooks where it has one: ``endpoint.disabled``
and ``message.attempt.exhausted``. It has none for success.

They may be made messages again, for operational webhooks: of such a message nothing is told, or
one would follow the other for ever.
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
DISABLED = "endpoint.disabled"

#: Event types of messages that are outcomes themselves.
TYPES = frozenset({SUCCEEDED, EXHAUSTED, DISABLED})


def events(topic: str, attempt: Attempt, verdict: Verdict) -> Iterator[Event[dict[str, Any]]]:
    """Yield the events after an attempt; none if another attempt follows.

    The key is the endpoint's id, so the events of one endpoint keep their order.
    """
    if verdict.delay is not None:
        return
    endpoint = {"appId": attempt.app_id, "endpointId": attempt.endpoint_id}
    time = datetime.fromtimestamp((attempt.created_at + attempt.duration) / 1000, UTC)
    last: dict[str, Any] = {
        "id": attempt.id,
        "responseStatusCode": attempt.response_status,
        "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if attempt.cause is not None:
        last |= {"cause": attempt.cause, "response": attempt.response}

    def event(kind: str, subject: str, data: dict[str, Any]) -> Event[dict[str, Any]]:
        return Event(
            topic=topic, type=kind, data=data, key=attempt.endpoint_id, subject=subject, time=time
        )

    kind = SUCCEEDED if verdict.status == Status.SUCCESS else EXHAUSTED
    message = {**endpoint, "msgId": attempt.message_id, "lastAttempt": last}
    yield event(kind, attempt.message_id, message)
    if verdict.disable:
        yield event(DISABLED, attempt.endpoint_id, endpoint)
