"""The Dramatiq broker of the worker role, which uses Dramatiq as a pool of threads.

It passes ephemeral messages to and from the broker of the queue backend. For a durable queue it
gives Dramatiq *worker slots* (:mod:`rolehost.roles.worker.ledger`), in which the host runs jobs
of the ledger. So the same threads run jobs and messages, with Dramatiq's middleware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware, MiddlewareError

from rolehost.roles.worker.ledger import LedgerConsumer


class HostBroker(dramatiq.Broker):
    """Gives Dramatiq worker slots, and the ephemeral messages of the queue backend.

    ``consumer`` makes the consumer of a durable queue. ``ephemeral`` is the broker of the
    queue backend; None without ephemeral actors.
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
        """Add a middleware; Dramatiq's worker calls this too."""
        super().add_middleware(middleware, **where)
        self._hooks.clear()

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call the ``before_`` hooks of the middleware, as Dramatiq's broker does."""
        for hook in self._implemented(f"before_{signal}"):
            try:
                hook(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:
                self.logger.critical("%s failed in a middleware", hook, exc_info=True)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call the ``after_`` hooks of the middleware, as Dramatiq's broker does."""
        for hook in reversed(self._implemented(f"after_{signal}")):
            try:
                hook(self, *args, **kwargs)
            except Exception:
                self.logger.critical("%s failed in a middleware", hook, exc_info=True)

    def _implemented(self, name: str) -> list[Callable[..., None]]:
        """Return the hooks of this name that middleware implements.

        PERF: Dramatiq calls the hook of every middleware for each of the four signals of a
        message. Most hooks do nothing, and calling them was a tenth of the cost of a message.
        """
        hooks = self._hooks.get(name)
        if hooks is None:
            base = getattr(Middleware, name, None)
            hooks = self._hooks[name] = [
                getattr(each, name)
                for each in self.middleware
                if getattr(type(each), name, None) is not base
            ]
        return hooks

    def get_declared_queues(self) -> set[str]:
        """Return the names of all declared queues."""
        return set(self.queues)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; the worker then starts a consumer for it."""
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
        """Enqueue an ephemeral message that a middleware delays or retries."""
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
