"""Actor ``webhooks.recover``: sends again what failed for good in a period, batch by batch."""

from __future__ import annotations

from rolehost.api import JobContext, actor

from rolehost_webhooks.actors import QUEUE
from rolehost_webhooks.actors.deliver import deliver
from rolehost_webhooks.models import Trigger
from rolehost_webhooks.repositories import deliveries

#: Deliveries begun anew in one transaction.
BATCH = 500


@actor(name="webhooks.recover", queue=QUEUE)
def recover(job: JobContext, endpoint_id: str, first: str, last: str) -> None:
    """Begin the failed deliveries to an endpoint anew, of messages between two ids."""
    with job.services.unit_of_work() as work:
        failed = deliveries.failed(endpoint_id, first, last, BATCH)
        for message_id in failed:
            deliveries.insert_pending(message_id, [endpoint_id], job.services.clock.now())
        work.enqueue_many(
            deliver,
            [
                {"message_id": one, "endpoint_id": endpoint_id, "trigger": int(Trigger.MANUAL)}
                for one in failed
            ],
        )
        if len(failed) == BATCH:
            # What was begun anew is no longer failed, so the next job finds the rest.
            work.enqueue(recover, endpoint_id=endpoint_id, first=first, last=last)
