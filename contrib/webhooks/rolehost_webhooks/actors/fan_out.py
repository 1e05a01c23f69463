"""Actor ``webhooks.fan_out``: creates one delivery for each endpoint that accepts a message."""

from __future__ import annotations

from rolehost.api import JobContext, actor

from rolehost_webhooks.actors import QUEUE
from rolehost_webhooks.actors.deliver import deliver, key_of
from rolehost_webhooks.repositories import cached, deliveries, messages


@actor(name="webhooks.fan_out", queue=QUEUE)
def fan_out(job: JobContext, message_id: str) -> None:
    """Create the deliveries of a message and their jobs; all commit with this job's state."""
    with job.services.unit_of_work() as work:
        message = messages.envelope(message_id)
        if message is None:
            return
        chosen = [
            each
            for each in cached.recipients(
                job.services, message.app_id, message.application.revision
            )
            if each.accepts(message.event_type, message.channels)
        ]
        if not chosen:
            return
        endpoints = [each.id for each in chosen]
        deliveries.insert_pending(message_id, endpoints, job.services.clock.now())
        for fifo in (True, False):
            to = [
                {"message_id": message_id, "endpoint_id": each.id}
                for each in chosen
                if each.fifo == fifo
            ]
            work.enqueue_many(deliver, to, key=key_of if fifo else None)
