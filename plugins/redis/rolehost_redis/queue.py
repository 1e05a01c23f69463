"""Storage kind ``queue`` on Redis: wake-ups, and ephemeral messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from rolehost.api import Listener, ServerInfo, StoredQueue

from rolehost_redis import abilities
from rolehost_redis.errors import translated
from rolehost_redis.messages import MessageStore
from rolehost_redis.servers import about, server_of
from rolehost_redis.settings import RedisSettings
from rolehost_redis.waker import Waker
from rolehost_redis.wakes import Hub

if TYPE_CHECKING:
    import dramatiq


class RedisQueue(StoredQueue):
    """Wakes processes on any machine without polling, and carries messages among them.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: RedisSettings) -> None:
        self._server = server_of(settings, "queue")
        channel = f"{settings.namespace}:wake"
        self._client = self._server.client()
        self._waker = Waker(self._server, channel)
        presence = f"{settings.namespace}:process:"
        self._hub = Hub(self._server, channel, presence)
        self._messages = MessageStore(self._server, channel, presence)
        self._lease = settings.message_lease
        super().__init__(self._messages, "rolehost-redis[ephemeral]")

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`."""
        self._waker.wake(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._hub.listen(names)

    def make_broker(self) -> dramatiq.Broker:
        """See :class:`rolehost.api.StoredQueue`."""
        from rolehost_redis.broker import RedisBroker

        return RedisBroker(self._messages, self._hub, lease=self._lease)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        with translated(self._server):
            self._client.ping()

    def server_info(self) -> ServerInfo:
        """See :meth:`rolehost.api.Queue.server_info`."""
        with translated(self._server):
            return about(self._client.info("server"), self._client.time())

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        self.close_broker()
        self._waker.close()
        self._hub.close()
        self._messages.close()
        self._client.connection_pool.disconnect()
