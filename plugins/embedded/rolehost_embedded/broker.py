"""A Dramatiq broker over a SQLite file, for ephemeral actors.

Delayed messages stay in the table until they are due, so they use no memory of a worker and
delay no other message. Messages are taken and acknowledged in batches. If a process dies, its
messages are delivered again when its lease ends.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid

from rolehost.api import StorageError, StorageUnavailable
from rolehost.api.broker import MessageBroker

from rolehost_embedded.consumer import EmbeddedConsumer, Finished
from rolehost_embedded.messages import MessageStore, wake_name
from rolehost_embedded.wakes import Wakes


class EmbeddedBroker(MessageBroker):
    """Carries messages among the processes of one machine.

    Args:
        store: the messages.
        wakes: wakes consumers.
        lease: seconds after which a process loses its messages if it does not renew the lease.
    """

    def __init__(self, store: MessageStore, wakes: Wakes, *, lease: float) -> None:
        super().__init__()
        self.store = store
        self.wakes = wakes
        self.owner = uuid.uuid4().hex
        self.finished = Finished()
        self._lease = lease
        self._renewed = float("-inf")
        self._guard = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._closed = threading.Event()

    def put(self, queue_name: str, data: bytes, delay: int) -> None:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        self.store.put(queue_name, data, delay)
        self.wakes.wake((wake_name(queue_name),))

    def open_consumer(self, queue_name: str, prefetch: int, timeout: float) -> EmbeddedConsumer:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        self.ensure_lease()
        return EmbeddedConsumer(self, queue_name, prefetch, timeout)

    def unfinished(self, queue_name: str) -> int:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        return self.store.depth(queue_name, taken=True)

    def ensure_lease(self) -> bool:
        """Return False if the lease holds. Otherwise take a new lease and return True.

        After True, other processes may have the messages that this process held. The first
        call starts the thread that renews the lease.
        """
        if time.monotonic() - self._renewed < self._lease:
            return False
        with self._guard:
            if time.monotonic() - self._renewed >= self._lease:
                self._renew()
            if self._keeper is None:
                self._keeper = threading.Thread(
                    target=self._keep, name="rolehost-message-lease", daemon=True
                )
                self._keeper.start()
        return True

    def _keep(self) -> None:
        while not self._closed.wait(self._lease / 3):
            # After a freeze the lease may have ended; ensure_lease() must report that to consumers.
            if time.monotonic() - self._renewed < self._lease:
                with contextlib.suppress(StorageUnavailable):
                    self._renew()

    def _renew(self) -> None:
        before = time.monotonic()
        queues = self.store.renew(self.owner, int(self._lease * 1000))
        self._renewed = before
        self.wakes.wake([wake_name(queue) for queue in queues])

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self.store.empty(queue_name)

    def close(self) -> None:
        """Give back the messages of this process. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join()
        with contextlib.suppress(StorageError):
            self.store.exchange("", self.owner, 0, self.finished.take())
            self.store.leave(self.owner)
            self.wakes.wake([wake_name(queue_name) for queue_name in self.queues])
