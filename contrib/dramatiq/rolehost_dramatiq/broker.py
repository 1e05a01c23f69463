"""The Dramatiq broker whose queues are the ledger's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware, ShutdownNotifications, TimeLimit
from rolehost.api import Actor, RolehostError, Services

#: Middleware whose work the host does: an actor's time limit, and the interruption at a shutdown.
OWNED_BY_HOST = (TimeLimit, ShutdownNotifications)


class NotConnected(RolehostError):
    """A message was sent in a process that rolehost did not start."""


class Processing:
    """The message that a thread processes.

    Attributes:
        message: the message.
        again_in: milliseconds until its next attempt; None: there is none.
    """

    def __init__(self, message: MessageProxy) -> None:
        self.message = message
        self.again_in: int | None = None


class LedgerBroker(dramatiq.Broker):
    """Stores each message as a durable job.

    A message joins the unit of work of its sender, so it exists if that commits, and only then.
    Dramatiq's middleware retries a message by sending it again while it is processed; here that
    decides the outcome of the job that has the message. Messages of other actors go to the brokers
    of those actors: pipelines and groups send all their messages to the global broker.

    Args:
        replaced: the broker of the existing code; this one has the same middleware.
        actors: contributed actors, and the jobs' actors, by name.
    """

    def __init__(
        self,
        replaced: dramatiq.Broker,
        actors: Mapping[str, tuple[dramatiq.Actor[..., Any], Actor[..., Any]]],
    ) -> None:
        kept: list[Middleware] = [
            each for each in replaced.middleware if not isinstance(each, OWNED_BY_HOST)
        ]
        super().__init__(middleware=kept)
        self.actor_options = set(replaced.actor_options)
        self.replaced = replaced
        self.actors = dict(replaced.actors)
        self.queues = dict.fromkeys(each.queue_name for each, _ in actors.values())
        self._jobs = {name: job for name, (_, job) in actors.items()}
        self._thread = threading.local()
        #: The services of the process, while it runs.
        self.services: Services | None = None

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue. The queues of contributed actors are declared already."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    @contextmanager
    def processing(self, message: MessageProxy) -> Iterator[Processing]:
        """Process a message in this thread during the block."""
        self._thread.current = current = Processing(message)
        try:
            yield current
        finally:
            self._thread.current = None

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Store a message as a job that may run after ``delay`` milliseconds.

        Raises:
            NotConnected: rolehost did not start this process.
            PayloadError: JSON cannot hold an argument or an option of the message.
        """
        actor = self._jobs.get(message.actor_name)
        if actor is None:
            other = self.replaced.actors.get(message.actor_name)
            broker = self.replaced if other is None else other.broker
            return broker.enqueue(message, delay=delay)
        self.emit_before("enqueue", message, delay)
        current: Processing | None = getattr(self._thread, "current", None)
        if current is not None and current.message.message_id == message.message_id:
            current.again_in = delay or 0
        else:
            self._services().enqueue(actor, delay=(delay or 0) / 1000, **fields(message))
        self.emit_after("enqueue", message, delay)
        return message

    def _services(self) -> Services:
        if self.services is None:
            raise NotConnected(
                "a message was sent to a contributed Dramatiq actor, but rolehost did not start"
                " this process; call DramatiqActors.connect(services), or send it in a process of"
                " the deployment"
            )
        return self.services


def fields(message: dramatiq.Message[Any]) -> dict[str, Any]:
    """Return a message as the arguments of its job."""
    return {
        "args": list(message.args),
        "kwargs": dict(message.kwargs),
        "options": dict(message.options),
        "message_id": message.message_id,
        "message_timestamp": message.message_timestamp,
    }
