"""The background half: a handler that marks a greeting, and the jobs that follow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from rolehost.api import Event, EventContext, Execution, JobContext, actor, handler

from rolehost_reference.models import StoredGreeting

TOPIC = "reference.greeted"

log = logging.getLogger(__name__)


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


@contextmanager
def noted(execution: Execution) -> Iterator[None]:
    """Note an attempt that fails; a plugin for error reports would send it."""
    yield
    if execution.exception is not None:
        log.warning("attempt %s of %s failed", execution.attempt, execution.name)


@handler(name="reference.mark", topic=TOPIC, group="reference", payload=Greeted)
def mark(context: EventContext, event: Event[Greeted]) -> None:
    """Mark a greeting as handled and let it be counted, in one transaction."""
    with context.services.unit_of_work() as work:
        StoredGreeting.update(handled=StoredGreeting.handled + 1).where(
            StoredGreeting.id == event.data.id
        ).execute()
        work.enqueue(count, greeting=event.data.id)
