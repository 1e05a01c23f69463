"""Consume messages of ephemeral actors from the queue's broker, in the thread of the test."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from rolehost.api import Actor
from rolehost.delivery.arguments import Signature
from rolehost.delivery.runner import run_message
from rolehost.failpoints import Crash
from rolehost.roles.worker.ephemeral import PoisonMessages
from rolehost.services import ProcessServices
from rolehost.services.transport import ephemeral_queue

from rolehost_testing.kit.ran import Ran


class Messages:
    """The ephemeral actors of a worker process.

    Args:
        services: the services of the process; the queue has the capability ``ephemeral``.
        actors: the ephemeral actors.
    """

    def __init__(self, services: ProcessServices, actors: Sequence[Actor]) -> None:
        self._services = services
        self._actors = {actor.name: actor for actor in actors}
        self._crashes = PoisonMessages(self._actors)
        self._queues = sorted({ephemeral_queue(actor.queue) for actor in actors})

    def step(self) -> list[Ran]:
        """Run every due message; return an empty list if there are none."""
        broker = self._services.transport.broker
        ran = []
        for queue in self._queues:
            broker.declare_queue(queue)
            consumer: Any = broker.consume(queue, prefetch=1, timeout=0)
            with closing(consumer):
                try:
                    while (message := next(consumer)) is not None:
                        ran.append(self._run(consumer, message))
                except Crash:
                    # The in-memory backends can simulate the death of a process.
                    getattr(consumer, "die", consumer.close)()
                    raise
        return ran

    def _run(self, consumer: Any, message: Any) -> Ran:
        actor = self._actors[message.actor_name]
        tries = message.options.get("retries", 0)
        outcome, error = "completed", None
        try:
            self._crashes.before_process_message(self._services.transport.broker, message)
            run_message(actor, Signature(actor), self._services, message.kwargs)
        except Exception as raised:
            error = raised
        if error is None:
            consumer.ack(message)
        elif not message.failed and tries + 1 < actor.retry.attempts:
            outcome = "retrying"
            delay = actor.retry.delay(tries + 1, self._services.random)
            again = message.copy(options={"retries": tries + 1})
            self._services.transport.broker.enqueue(again, delay=int(delay * 1000))
            consumer.ack(message)
        else:
            outcome = "dead"
            message.stuff_exception(error)
            consumer.nack(message)
        self._services.recorders.job(actor.name, outcome, 0.0, 0.0)
        return Ran(
            kind="message",
            name=actor.name,
            outcome=outcome,
            id=message.message_id,
            arguments=message.kwargs,
            error=error,
        )
