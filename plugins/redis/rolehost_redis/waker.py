"""Publishes wake-ups in a separate thread, so that a commit does not wait for Redis."""

from __future__ import annotations

import threading
from collections.abc import Collection

import msgspec
import redis

from rolehost_redis.servers import Server

#: Seconds without publishing after a failure; listeners poll in the meantime.
_PAUSE = 0.2


class Waker:
    """Gathers names and publishes them together. Thread-safe; made after the fork."""

    def __init__(self, server: Server, channel: str) -> None:
        self._client = server.client()
        self._channel = channel
        self._patience = server.settings.connect_timeout + server.settings.timeout
        self._names: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self, names: Collection[str]) -> None:
        """Publish these names soon. Never blocks, never raises, does nothing once closed."""
        with self._changed:
            if self._closed or self._names.issuperset(names):
                return
            self._names.update(names)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="redis-waker", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Publish the rest, if Redis answers in time. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(self._patience)
        self._client.connection_pool.disconnect()

    def _run(self) -> None:
        while names := self._next():
            try:
                self._client.publish(self._channel, msgspec.json.encode(names))
            except (redis.RedisError, OSError):
                # A lost wake-up costs only latency, because listeners also poll.
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _PAUSE)

    def _next(self) -> list[str]:
        """Return the names to publish; empty if closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._names or self._closed)
            names = sorted(self._names)
            self._names.clear()
            return names
