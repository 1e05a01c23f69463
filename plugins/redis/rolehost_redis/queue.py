"""Storage kind ``queue`` on Redis: wake-ups. It carries no messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, NoReturn

from rolehost.api import CapabilityMissing, Listener, Queue

from rolehost_redis import abilities
from rolehost_redis.errors import translated
from rolehost_redis.servers import place_of
from rolehost_redis.settings import RedisSettings
from rolehost_redis.waker import Waker
from rolehost_redis.wakes import Hub


class RedisQueue(Queue):
    """Wakes processes on any machine without polling; keeps nothing in Redis.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: RedisSettings) -> None:
        self._place = place_of(settings, "queue")
        channel = f"{settings.namespace}:wake"
        self._client = self._place.client()
        self._waker = Waker(self._place, channel)
        self._hub = Hub(self._place, channel)

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._waker.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._hub.listen(names)

    def broker(self) -> NoReturn:
        """See :meth:`rolehost.api.Queue.broker`.

        Raises:
            CapabilityMissing: always.
        """
        raise CapabilityMissing(
            "the queue of redis carries no ephemeral messages: choose another ([storage] queue),"
            " or make the actor durable"
        )

    def depth(self, queue_name: str) -> int:  # noqa: ARG002
        """See :meth:`rolehost.api.Queue.depth`; no message ever waits here."""
        return 0

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        with translated(self._place):
            self._client.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        self._waker.close()
        self._hub.close()
        self._client.connection_pool.disconnect()
