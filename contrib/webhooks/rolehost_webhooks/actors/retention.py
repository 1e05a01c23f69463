"""Actor ``webhooks.retention``: removes old messages, in batches."""

from __future__ import annotations

from rolehost.api import JobContext, Outcome, Snooze, actor

from rolehost_webhooks.actors import QUEUE
from rolehost_webhooks.repositories import messages
from rolehost_webhooks.settings import DeliverySettings

#: Messages removed in one transaction. Small, because it holds SQLite's write lock.
BATCH = 200

#: Pause between two batches, in seconds.
PAUSE = 0.2

DAY = 86_400_000


@actor(name="webhooks.retention", queue=QUEUE, priority=10)
def retention(job: JobContext) -> Outcome:
    """Remove one batch of old messages and expired payloads; retry if more remain."""
    settings: DeliverySettings = job.services.settings("webhooks-delivery")
    now = job.services.clock.now()
    with job.services.unit_of_work():
        removed = messages.remove_old(now - settings.retention_days * DAY, BATCH)
        expunged = messages.expunge_expired(now, BATCH)
    return Snooze(PAUSE) if BATCH in (removed, expunged) else None
