"""Storage kind ``queue`` on one machine: sockets for wake-ups, a SQLite file for messages."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.api import CapabilityMissing, DeadMessage, Listener, Queue

from rolehost_embedded import abilities
from rolehost_embedded.location import absolute
from rolehost_embedded.messages import MessageStore, wake_name
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.wakes import Wakes

if TYPE_CHECKING:
    import dramatiq

    from rolehost_embedded.broker import EmbeddedBroker


class EmbeddedQueue(Queue):
    """Wakes without polling; its messages survive processes, but not the loss of power."""

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._wakes = Wakes(absolute(settings.path))
        self._store = MessageStore(settings)
        self._broker: EmbeddedBroker | None = None
        self._guard = threading.Lock()

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._wakes.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._wakes.listen(names)

    def broker(self) -> dramatiq.Broker:
        """See :meth:`rolehost.api.Queue.broker`."""
        try:
            from rolehost_embedded.broker import EmbeddedBroker
        except ImportError as error:
            raise CapabilityMissing(
                "ephemeral messages need Dramatiq: pip install 'rolehost-embedded[ephemeral]'"
            ) from error
        with self._guard:
            if self._broker is None:
                self._broker = EmbeddedBroker(
                    self._store, self._wakes, lease=self._settings.message_lease
                )
            return self._broker

    def depth(self, queue_name: str) -> int:
        """See :meth:`rolehost.api.Queue.depth`; delayed messages count."""
        return self._store.depth(queue_name)

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """See :meth:`rolehost.api.Queue.dead_messages`."""
        return self._store.dead(limit)

    def count_dead_messages(self) -> int:
        """See :meth:`rolehost.api.Queue.count_dead_messages`."""
        return self._store.count_dead()

    def dead_message(self, number: int) -> DeadMessage | None:
        """See :meth:`rolehost.api.Queue.dead_message`."""
        return next(iter(self._store.dead(1, number)), None)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """See :meth:`rolehost.api.Queue.replay_message`."""
        found = self._store.revive(letter, data)
        if found:
            self._wakes.wake((wake_name(letter.queue),))
        return found

    def discard_message(self, number: int) -> bool:
        """See :meth:`rolehost.api.Queue.discard_message`."""
        return self._store.forget(number)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        self._store.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        with self._guard:
            broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()
        self._wakes.close()
        self._store.close()
