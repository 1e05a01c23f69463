"""Storage kind ``queue`` in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.storage.queue import Listener
from rolehost.storage.queues import StoredQueue

from rolehost_testing.memory import abilities

if TYPE_CHECKING:
    import dramatiq

    from rolehost_testing.memory.world import MemoryWorld


class MemoryQueue(StoredQueue):
    """The queue of one host in a world."""

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, world: MemoryWorld) -> None:
        super().__init__(world.messages, "rolehost[worker]")
        self._world = world
        self._listeners: list[Listener] = []

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._world.wakes.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        listener = self._world.wakes.listen(names)
        self._listeners.append(listener)
        return listener

    def make_broker(self) -> dramatiq.Broker:
        """See :class:`rolehost.api.StoredQueue`."""
        from rolehost_testing.memory.broker import MemoryBroker

        return MemoryBroker(self._world.messages)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        while self._listeners:
            self._listeners.pop().close()
