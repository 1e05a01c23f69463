"""Storage kind ``queue`` on Redis: wake-ups, and ephemeral messages."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.api import About, CapabilityMissing, DeadMessage, Listener, Queue

from rolehost_redis import abilities
from rolehost_redis.errors import translated
from rolehost_redis.messages import MessageStore
from rolehost_redis.servers import about, place_of
from rolehost_redis.settings import RedisSettings
from rolehost_redis.waker import Waker
from rolehost_redis.wakes import Hub

if TYPE_CHECKING:
    import dramatiq

    from rolehost_redis.broker import RedisBroker


class RedisQueue(Queue):
    """Wakes processes on any machine without polling, and carries messages among them.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: RedisSettings) -> None:
        self._place = place_of(settings, "queue")
        channel = f"{settings.namespace}:wake"
        self._client = self._place.client()
        self._waker = Waker(self._place, channel)
        presence = f"{settings.namespace}:process:"
        self._hub = Hub(self._place, channel, presence)
        self._store = MessageStore(self._place, channel, presence)
        self._lease = settings.message_lease
        self._broker: RedisBroker | None = None
        self._guard = threading.Lock()

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._waker.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._hub.listen(names)

    def broker(self) -> dramatiq.Broker:
        """See :meth:`rolehost.api.Queue.broker`."""
        try:
            from rolehost_redis.broker import RedisBroker
        except ImportError as error:
            raise CapabilityMissing(
                "ephemeral messages need Dramatiq: pip install 'rolehost-redis[ephemeral]'"
            ) from error
        with self._guard:
            if self._broker is None:
                self._broker = RedisBroker(self._store, self._hub, lease=self._lease)
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
        return self._store.dead_one(number)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """See :meth:`rolehost.api.Queue.replay_message`."""
        return self._store.revive(letter, data)

    def discard_message(self, number: int) -> bool:
        """See :meth:`rolehost.api.Queue.discard_message`."""
        return self._store.forget(number)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        with translated(self._place):
            self._client.ping()

    def about(self) -> About:
        """See :meth:`rolehost.api.Queue.about`."""
        with translated(self._place):
            return about(self._client.info("server"), self._client.time())

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        with self._guard:
            broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()
        self._waker.close()
        self._hub.close()
        self._store.close()
        self._client.connection_pool.disconnect()
