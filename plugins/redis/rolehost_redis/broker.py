"""A Dramatiq broker over :mod:`rolehost_redis.messages`, for ephemeral actors."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import dramatiq
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout, QueueNotFound
from rolehost.api import StorageError

from rolehost_redis.consumer import RedisConsumer
from rolehost_redis.holding import Holding, Steadiness
from rolehost_redis.messages import MessageStore, wake_name
from rolehost_redis.wakes import Hub


class RedisBroker(dramatiq.Broker):
    """Carries messages among processes on any machine.

    Not Dramatiq's own: that one polls, keeps delayed messages in the memory of workers, and
    finds those of a dead worker by chance.

    Args:
        store: the messages.
        hub: wakes consumers.
        lease: seconds after which others get what a process took and did not renew.
    """

    def __init__(self, store: MessageStore, hub: Hub, *, lease: float) -> None:
        super().__init__(middleware=[])
        self.store = store
        self.hub = hub
        self._lease = lease
        self._steady = Steadiness(lease)
        self._holdings: dict[str, Holding] = {}
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; there is no separate one for delayed messages."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Store a message, to be taken after ``delay`` milliseconds.

        Raises:
            ConnectionClosed: Redis did not answer; the message was stored once or not at all.
        """
        self.emit_before("enqueue", message, delay)
        try:
            self.store.put(message.queue_name, message.encode(), delay or 0)
        except StorageError as error:
            raise ConnectionClosed(error) from error
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> RedisConsumer:
        """Return a consumer of a declared queue; ``timeout`` is in milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        listener = self.hub.listen((wake_name(queue_name),))
        return RedisConsumer(self.holding(queue_name), listener, prefetch, timeout / 1000)

    def holding(self, queue_name: str) -> Holding:
        """Return this process's part of a queue; renewed from the first call on."""
        with self._guard:
            holding = self._holdings.get(queue_name)
            if holding is None:
                holding = Holding(self.store, queue_name, self.hub.owner, self._steady)
                self._holdings[queue_name] = holding
            if self._keeper is None:
                self._closed = threading.Event()
                self._keeper = threading.Thread(
                    target=self._keep, args=(self._closed,), name="redis-leases", daemon=True
                )
                self._keeper.start()
        return holding

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue."""
        self.store.empty(queue_name)

    def flush_all(self) -> None:
        """Drop the messages of all declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Wait until a queue has neither waiting nor running messages; for tests.

        Args:
            queue_name: the queue.
            interval: milliseconds between looks.
            timeout: milliseconds; None waits for ever.

        Raises:
            QueueJoinTimeout: it took longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while self.store.depth(queue_name, taken=True):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)
            time.sleep(interval / 1000)

    def close(self) -> None:
        """Renew nothing more; what is still held goes to others. Idempotent.

        Another worker may consume from it afterwards, as after none.
        """
        with self._guard:
            self._closed.set()
            keeper, self._keeper = self._keeper, None
            holdings, self._holdings = self._holdings, {}
        if keeper is not None:
            keeper.join()
        with contextlib.suppress(StorageError):
            for holding in holdings.values():
                holding.leave()

    def _keep(self, closed: threading.Event) -> None:
        """Renew leases three times as often as needed; a failure is made good by the next."""
        while not closed.wait(self._lease / 3):
            with self._guard:
                holdings = list(self._holdings.values())
            with contextlib.suppress(StorageError):
                for holding in holdings:
                    holding.exchange(0)
