"""Actor ``webhooks.recover``: resends the undelivered messages of a period, in batches."""

from __future__ import annotations

from rolehost.api import JobContext, actor

from rolehost_webhooks.actors import QUEUE
from rolehost_webhooks.actors.deliver import deliver, key_of
from rolehost_webhooks.models import Endpoint, Trigger
from rolehost_webhooks.repositories import deliveries

#: Deliveries restarted in one transaction.
BATCH = 500


@actor(name="webhooks.recover", queue=QUEUE)
def recover(job: JobContext, endpoint_id: str, first: str, last: str) -> None:
    """Restart the failed and cancelled deliveries to an endpoint.

    Args:
        first: id of the first message.
        last: id of the last message.
    """
    with job.services.unit_of_work() as work:
        endpoint = Endpoint.get_or_none(Endpoint.id == endpoint_id)
        found = deliveries.recoverable(endpoint_id, first, last, BATCH)
        for message_id in found:
            deliveries.insert_pending(message_id, [endpoint_id], job.services.clock.now())
        work.enqueue_many(
            deliver,
            [
                {"message_id": one, "endpoint_id": endpoint_id, "trigger": int(Trigger.MANUAL)}
                for one in found
            ],
            key=key_of if endpoint is not None and endpoint.fifo else None,
        )
        if found:
            # All ids have the same length, so the longer text sorts directly after this batch.
            work.enqueue(recover, endpoint_id=endpoint_id, first=found[-1] + "0", last=last)
