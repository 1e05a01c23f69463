"""The background half: a handler that marks a greeting, and the jobs that follow."""

from __future__ import annotations

from msgspec import Struct
from rolehost.api import Event, EventContext, JobContext, actor, handler

from rolehost_reference.models import StoredGreeting

TOPIC = "reference.greeted"


class Greeted(Struct):
    """Payload of events of :data:`TOPIC`."""

    id: str


@actor(name="reference.count", queue="reference")
def count(job: JobContext, greeting: str) -> None:
    """Count a greeting, once."""
    with job.services.unit_of_work():
        StoredGreeting.update(counted=StoredGreeting.counted + 1).where(
            StoredGreeting.id == greeting
        ).execute()


@actor(name="reference.tidy", queue="reference")
def tidy(job: JobContext) -> None:
    """Remove greetings without a name."""
    with job.services.unit_of_work():
        StoredGreeting.delete().where(StoredGreeting.name == "").execute()


@handler(name="reference.mark", topic=TOPIC, group="reference", payload=Greeted)
def mark(context: EventContext, event: Event[Greeted]) -> None:
    """Mark a greeting as handled and let it be counted, in one transaction."""
    with context.services.unit_of_work() as work:
        StoredGreeting.update(handled=StoredGreeting.handled + 1).where(
            StoredGreeting.id == event.data.id
        ).execute()
        work.enqueue(count, greeting=event.data.id)
