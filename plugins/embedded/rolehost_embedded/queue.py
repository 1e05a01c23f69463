"""Storage kind ``queue`` on one machine: sockets for wake-ups, a SQLite file for messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.api import DeadMessage, Listener, StoredQueue

from rolehost_embedded import abilities
from rolehost_embedded.location import absolute
from rolehost_embedded.messages import MessageStore, wake_name
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.wakes import Wakes

if TYPE_CHECKING:
    import dramatiq


class EmbeddedQueue(StoredQueue):
    """Wakes without polling. Messages survive processes; a power failure may lose the last ones."""

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._wakes = Wakes(absolute(settings.path))
        self._messages = MessageStore(settings)
        super().__init__(self._messages, "rolehost-embedded[ephemeral]")

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._wakes.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._wakes.listen(names)

    def make_broker(self) -> dramatiq.Broker:
        """See :class:`rolehost.api.StoredQueue`."""
        from rolehost_embedded.broker import EmbeddedBroker

        return EmbeddedBroker(self._messages, self._wakes, lease=self._settings.message_lease)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """See :meth:`rolehost.api.Queue.replay_message`."""
        found = super().replay_message(letter, data)
        if found:
            self._wakes.wake((wake_name(letter.queue),))
        return found

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        self._messages.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        self.close_broker()
        self._wakes.close()
        self._messages.close()
