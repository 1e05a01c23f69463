"""The Dramatiq broker of the worker role: durable queues are the ledger's rows.

Ephemeral queues are handed through to the broker of the queue backend, so that one Dramatiq
worker with one set of threads runs both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware

from rolehost.roles.worker.consumer import LedgerConsumer


class HostBroker(dramatiq.Broker):
    """Consumes the ledger, and what ``ephemeral`` carries.

    Args:
        middleware: Dramatiq middleware; the host's own does what Retries would.
        consumer: makes the consumer of a durable queue.
        ephemeral: the broker of the queue backend; None without ephemeral actors.
    """

    def __init__(
        self,
        middleware: list[Middleware],
        consumer: Callable[[str], LedgerConsumer],
        ephemeral: dramatiq.Broker | None,
    ) -> None:
        super().__init__(middleware=middleware)
        self.queues: set[str] = set()
        self._consumer = consumer
        self._ephemeral = ephemeral

    def get_declared_queues(self) -> set[str]:
        """Return the names of all declared queues."""
        return set(self.queues)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; Dramatiq then starts a consumer for it."""
        if queue_name in self.queues:
            return
        self.emit_before("declare_queue", queue_name)
        self.queues.add(queue_name)
        if self._ephemeral is not None and queue_name.endswith(".ephemeral"):
            self._ephemeral.declare_queue(queue_name)
        self.emit_after("declare_queue", queue_name)

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Put an ephemeral message back that its own middleware delays or retries."""
        if self._ephemeral is None:
            raise LookupError(f"no ephemeral actor uses queue {message.queue_name}")
        return self._ephemeral.enqueue(message, delay=delay)

    def consume(
        self, queue_name: str, prefetch: int = 1, timeout: int = 30000
    ) -> dramatiq.Consumer:
        """Return the consumer of a queue; ``timeout`` in milliseconds."""
        if self._ephemeral is not None and queue_name.endswith(".ephemeral"):
            return self._ephemeral.consume(queue_name, prefetch, timeout)
        return self._consumer(queue_name)

    def close(self) -> None:
        """Close the backend's broker."""
        if self._ephemeral is not None:
            self._ephemeral.close()
