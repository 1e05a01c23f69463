"""A Dramatiq broker over a SQLite file, for ephemeral actors.

Delayed messages stay in the table until they are due, so they wait in nobody's memory and
behind nobody. Messages are taken and acknowledged in batches; those of a process that died
come back when its lease ends.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import Any

import dramatiq
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout, QueueNotFound
from rolehost.api import StorageError, StorageUnavailable

from rolehost_embedded.consumer import EmbeddedConsumer, Finished
from rolehost_embedded.keeper import Keeper
from rolehost_embedded.messages import MessageStore, wake_name
from rolehost_embedded.wakes import Wakes


class EmbeddedBroker(dramatiq.Broker):
    """Carries messages among the processes of one machine.

    Args:
        store: the messages.
        wakes: wakes consumers.
        lease: seconds after which a process that does not renew has lost what it took.
    """

    def __init__(self, store: MessageStore, wakes: Wakes, *, lease: float) -> None:
        super().__init__(middleware=[])
        self.store = store
        self.wakes = wakes
        self.owner = uuid.uuid4().hex
        self.finished = Finished()
        self._keeper = Keeper(self, lease)
        self._closed = False

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
            ConnectionClosed: the file cannot be written to.
        """
        self.emit_before("enqueue", message, delay)
        try:
            self.store.put(message.queue_name, message.encode(), delay or 0)
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error
        self.wakes.wake((wake_name(message.queue_name),))
        self.emit_after("enqueue", message, delay)
        return message

    def consume(
        self, queue_name: str, prefetch: int = 1, timeout: int = 30_000
    ) -> EmbeddedConsumer:
        """Return a consumer of a declared queue; ``timeout`` is in milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self.ensure_lease()
        return EmbeddedConsumer(self, queue_name, prefetch, timeout / 1000)

    def ensure_lease(self) -> bool:
        """Have a lease; True when there was none, so that others may have what was taken."""
        return self._keeper.ensure()

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self.store.empty(queue_name)

    def flush_all(self) -> None:
        """Drop the waiting messages of all declared queues."""
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
        """Give back what this process had taken. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._keeper.stop()
        with contextlib.suppress(StorageError):
            self.store.exchange("", self.owner, 0, self.finished.take())
            self.store.leave(self.owner)
            self.wakes.wake([wake_name(queue_name) for queue_name in self.queues])
