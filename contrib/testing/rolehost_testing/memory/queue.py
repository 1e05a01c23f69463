"""Storage kind ``queue`` in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.errors import CapabilityMissing
from rolehost.storage.queue import DeadMessage, Listener, Queue

from rolehost_testing.memory import abilities

if TYPE_CHECKING:
    import dramatiq

    from rolehost_testing.memory.world import MemoryWorld


class MemoryQueue(Queue):
    """The queue of one host in a world."""

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, world: MemoryWorld) -> None:
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

    def broker(self) -> dramatiq.Broker:
        """See :meth:`rolehost.api.Queue.broker`."""
        if "ephemeral" not in self.capabilities:
            raise CapabilityMissing("ephemeral actors need Dramatiq: rolehost[worker]")
        from rolehost_testing.memory.broker import MemoryBroker

        return MemoryBroker(self._world.messages)

    def depth(self, queue_name: str) -> int:
        """See :meth:`rolehost.api.Queue.depth`."""
        return self._world.messages.depth(queue_name)

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """See :meth:`rolehost.api.Queue.dead_messages`."""
        return self._world.messages.dead(limit)

    def dead_message(self, number: int) -> DeadMessage | None:
        """See :meth:`rolehost.api.Queue.dead_message`."""
        return self._world.messages.letter(number)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """See :meth:`rolehost.api.Queue.replay_message`."""
        if not self._world.messages.discard(letter.number):
            return False
        self._world.messages.put(letter.queue, data, 0.0)
        return True

    def discard_message(self, number: int) -> bool:
        """See :meth:`rolehost.api.Queue.discard_message`."""
        return self._world.messages.discard(number)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        while self._listeners:
            self._listeners.pop().close()
