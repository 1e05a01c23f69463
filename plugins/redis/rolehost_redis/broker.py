"""A Dramatiq broker over :mod:`rolehost_redis.messages`, for ephemeral actors."""

from __future__ import annotations

import contextlib
import threading

from rolehost.api import StorageError
from rolehost.api.broker import MessageBroker

from rolehost_redis.consumer import RedisConsumer
from rolehost_redis.held import HeldMessages, SteadyConnection
from rolehost_redis.messages import MessageStore, wake_name
from rolehost_redis.wakes import Hub


class RedisBroker(MessageBroker):
    """Carries messages among processes on any machine.

    Dramatiq's own broker polls, keeps delayed messages in the memory of workers, and recovers
    the messages of a dead worker by chance.

    Args:
        store: the messages.
        hub: wakes consumers.
        lease: seconds after which a process loses its messages if it does not renew them.
    """

    def __init__(self, store: MessageStore, hub: Hub, *, lease: float) -> None:
        super().__init__()
        self.store = store
        self.hub = hub
        self._lease = lease
        self._steady = SteadyConnection(lease)
        self._held: dict[str, HeldMessages] = {}
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def put(self, queue_name: str, data: bytes, delay: int) -> None:
        """See :class:`rolehost.api.broker.MessageBroker`; the script that stores it also wakes."""
        self.store.put(queue_name, data, delay)

    def open_consumer(self, queue_name: str, prefetch: int, timeout: float) -> RedisConsumer:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        listener = self.hub.listen((wake_name(queue_name),))
        return RedisConsumer(self.held(queue_name), listener, prefetch, timeout)

    def unfinished(self, queue_name: str) -> int:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        return self.store.depth(queue_name, taken=True)

    def held(self, queue_name: str) -> HeldMessages:
        """Return this process's messages of a queue; from then on, the lease is renewed."""
        with self._guard:
            held = self._held.get(queue_name)
            if held is None:
                held = HeldMessages(self.store, queue_name, self.hub.owner, self._steady)
                self._held[queue_name] = held
            if self._keeper is None:
                self._closed = threading.Event()
                self._keeper = threading.Thread(
                    target=self._keep, args=(self._closed,), name="redis-leases", daemon=True
                )
                self._keeper.start()
        return held

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue."""
        self.store.empty(queue_name)

    def close(self) -> None:
        """Stop renewing, and give back the messages that are still held. Idempotent.

        The broker may be used again afterwards.
        """
        with self._guard:
            self._closed.set()
            keeper, self._keeper = self._keeper, None
            all_held, self._held = self._held, {}
        if keeper is not None:
            keeper.join()
        with contextlib.suppress(StorageError):
            for held in all_held.values():
                held.leave()

    def _keep(self, closed: threading.Event) -> None:
        """Renew leases three times as often as needed, so one failure does no harm."""
        while not closed.wait(self._lease / 3):
            with self._guard:
                all_held = list(self._held.values())
            with contextlib.suppress(StorageError):
                for held in all_held:
                    held.exchange(0)
