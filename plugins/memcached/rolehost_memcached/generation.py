"""Which entries of the namespace count: clearing begins a new generation of keys.

``flush_all`` would drop what others keep on the same servers.
"""

from __future__ import annotations

import secrets
import threading
import time

from rolehost_memcached.entries import Entry
from rolehost_memcached.servers import Servers
from rolehost_memcached.settings import MemcachedSettings


class Generation:
    """The generation that this process knows of; asked anew from time to time. Thread-safe."""

    def __init__(self, servers: Servers, settings: MemcachedSettings) -> None:
        self._servers = servers
        self._namespace = settings.namespace
        self._key = f"{settings.namespace}!generation"
        self._keep = settings.clear_within
        self._guard = threading.Lock()
        self._prefix = ""
        self._until = 0.0

    def prefix(self) -> str:
        """Return what every key of the present generation begins with."""
        if time.monotonic() >= self._until:
            with self._guard:
                if time.monotonic() >= self._until:
                    self._remember(self._ask())
        return self._prefix

    def begin(self) -> None:
        """Begin a new one: nothing of the former is found again."""
        fresh = secrets.token_hex(6)
        with self._guard:
            self._servers.of(self._key).run(
                lambda client: client.set(self._key, Entry(fresh.encode(), 0)), again=True
            )
            self._remember(fresh)

    def _ask(self) -> str:
        """Return the generation that memcached knows of; begin one when it forgot.

        A forgotten one is never guessed again, for old entries would be back.
        """
        server = self._servers.of(self._key)
        fresh = Entry(secrets.token_hex(6).encode(), 0)
        entry = server.run(lambda client: client.get(self._key), again=True)
        if entry is None:
            server.run(lambda client: client.add(self._key, fresh), again=True)
            entry = server.run(lambda client: client.get(self._key), again=True) or fresh
        return entry.value.decode()

    def _remember(self, generation: str) -> None:
        self._prefix = f"{self._namespace}.{generation}"
        self._until = time.monotonic() + self._keep
