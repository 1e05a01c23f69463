"""Sends ephemeral messages to the Dramatiq broker of the queue backend."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.delivery.arguments import Signature
from rolehost.errors import PayloadError, StorageError, StorageUnavailable
from rolehost.storage.queue import PRIORITY

if TYPE_CHECKING:
    import dramatiq


def ephemeral_queue(queue: str) -> str:
    """Return the name of the Dramatiq queue for a queue's ephemeral messages."""
    return f"{queue}.ephemeral"


class Transport:
    """Sends to ephemeral actors; thread-safe."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        #: The backend's broker, shared with the worker role of this process.
        self.broker = broker
        self._lock = threading.Lock()
        self._signatures: dict[str, Signature] = {}

    def send(self, actor: Actor, arguments: Mapping[str, Any], delay: float | None) -> None:
        """Send one message; ``delay`` in seconds.

        Raises PayloadError if the actor is durable or the arguments do not fit it. If the queue
        does not answer (StorageUnavailable) or refuses (StorageError), it has stored the message
        once or not at all.
        """
        import dramatiq  # loaded by the broker already

        signature = self._signatures.get(actor.name) or self._declare(actor)
        try:
            wait = None if delay is None else int(values.delay("delay", delay) * 1000)
        except (TypeError, ValueError) as error:
            raise PayloadError(f"sending to actor {actor.name}: {error}") from None
        # Checked here as JSON, so that the sender gets the error and not the worker.
        plain = msgspec.json.decode(signature.encode(arguments))
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=ephemeral_queue(actor.queue),
            actor_name=actor.name,
            args=(),
            kwargs=plain,
            options={PRIORITY: actor.priority},
        )
        try:
            self.broker.enqueue(message, delay=wait)
        except dramatiq.errors.BrokerConnectionError as error:
            # Dramatiq's threads expect this error; a sender expects the host's errors.
            if isinstance(error.__cause__, StorageError):
                raise error.__cause__ from None
            raise StorageUnavailable(str(error)) from error

    def _declare(self, actor: Actor) -> Signature:
        if actor.durable:
            raise PayloadError(f"actor {actor.name} is durable; use enqueue()")
        with self._lock:
            self.broker.declare_queue(ephemeral_queue(actor.queue))
            signature = self._signatures[actor.name] = Signature(actor)
        return signature
