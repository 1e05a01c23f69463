"""The Dramatiq broker of the worker role: durable queues are the ledger's rows.

Ephemeral queues are handed through to the broker of the queue backend, so that one Dramatiq
worker with one set of threads runs both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware, MiddlewareError

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
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        super().__init__(middleware=middleware)
        self.queues: set[str] = set()
        self._consumer = consumer
        self._ephemeral = ephemeral

    def add_middleware(self, middleware: Middleware, **where: Any) -> None:
        """Add a middleware, as Dramatiq's worker does with one of its own."""
        super().add_middleware(middleware, **where)
        self._hooks.clear()

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call what middleware does before something, in its order."""
        for hook in self._listening(f"before_{signal}"):
            try:
                hook(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:
                self.logger.critical("%s failed in a middleware", hook, exc_info=True)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call what middleware does after something, in reverse."""
        for hook in self._listening(f"after_{signal}"):
            try:
                hook(self, *args, **kwargs)
            except Exception:
                self.logger.critical("%s failed in a middleware", hook, exc_info=True)

    def _listening(self, name: str) -> list[Callable[..., None]]:
        """Return the hooks of this name that middleware implements, in the order of calling.

        PERF: Dramatiq calls every middleware's hook for each of four signals of a message,
        and most of them do nothing; that was a tenth of the cost of a job.
        """
        hooks = self._hooks.get(name)
        if hooks is None:
            idle = getattr(Middleware, name, None)
            hooks = [
                getattr(each, name)
                for each in self.middleware
                if getattr(type(each), name, None) is not idle
            ]
            if name.startswith("after_"):
                hooks.reverse()
            self._hooks[name] = hooks
        return hooks

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
        self.emit_before("enqueue", message, delay)
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
