"""A Dramatiq broker over a SQLite file, for ephemeral actors.

Delayed messages stay in the table until they are due, so they use no memory of a worker and
delay no other message. Messages are taken and acknowledged in batches. If a process dies, its
messages are delivered again when its lease ends.
"""

from __future__ import annotations

import contextlib
import uuid

from rolehost.api import StorageError
from rolehost.api.broker import MessageBroker

from rolehost_embedded.consumer import EmbeddedConsumer, Finished
from rolehost_embedded.keeper import Keeper
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
        self._keeper = Keeper(self, lease)
        self._closed = False

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
        """Take a lease if there is none; return True then, because others may have our messages."""
        return self._keeper.ensure()

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self.store.empty(queue_name)

    def close(self) -> None:
        """Give back the messages of this process. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._keeper.stop()
        with contextlib.suppress(StorageError):
            self.store.exchange("", self.owner, 0, self.finished.take())
            self.store.leave(self.owner)
            self.wakes.wake([wake_name(queue_name) for queue_name in self.queues])
