"""The actors; every plugin that enqueues them imports this module."""

from __future__ import annotations

import time

from rolehost.api import JobContext, actor

from rolehost_entries.models import happened


@actor(name="entries.settle", queue="entries")
def settle(job: JobContext, entry: str, of: str, seq: int, hold: float) -> None:
    """Settle an entry; its effect is written long before the end, when it is to be held."""
    with job.services.unit_of_work():
        happened("settled", entry, of, seq)
    if hold:
        time.sleep(hold)  # stands for work; the transaction is open meanwhile


@actor(name="entries.file", queue="entries")
def file(job: JobContext, entry: str, of: str, seq: int) -> None:
    """File an entry that came as an event."""
    with job.services.unit_of_work():
        happened("filed", entry, of, seq)


@actor(name="entries.tick", queue="entries")
def tick(job: JobContext) -> None:
    """Write that the schedule's job has run."""
    with job.services.unit_of_work():
        happened("ticked", f"tick-{job.id}", "tick", job.enqueued_at)
