"""Which entries of the namespace count: clearing begins a new generation of keys.

``flush_all`` would drop what others keep on the same servers. Every server keeps the generation,
and the newest counts: so one that fails takes no other's entries with it, and one that comes
back with its memory does not bring back what was cleared meanwhile.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress

from rolehost.api import StorageUnavailable

from rolehost_memcached.entries import Entry
from rolehost_memcached.servers import Server, Servers
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
        """Begin a new one: nothing of the former is found again.

        Raises:
            StorageUnavailable: no server answers.
        """
        with self._guard:
            fresh = self._fresh(self._ask())
            for server in self._servers.present():
                with suppress(StorageUnavailable):  # it is told by whoever asks it next
                    self._tell(server, fresh)
            self._remember(fresh)

    def _ask(self) -> str:
        """Return the newest generation that a server knows of; begin one when all forgot.

        A forgotten one is never guessed again, for old entries would be back.
        """
        known: dict[Server, str] = {}
        failure: StorageUnavailable | None = None
        for server in self._servers.present():
            try:
                entry = server.run(lambda client: client.get(self._key), again=True)
            except StorageUnavailable as error:
                failure = error
                continue
            known[server] = "" if entry is None else entry.value.decode()
        if not known and failure is not None:
            raise failure
        newest = max(known.values()) or self._first(known)
        for server, generation in known.items():
            if generation != newest:
                with suppress(StorageUnavailable):
                    self._tell(server, newest)
        return newest

    def _first(self, known: dict[Server, str]) -> str:
        """Begin the first generation; of processes that do at once one is heard."""
        fresh = self._fresh("")
        server = next(iter(known))
        server.run(lambda client: client.add(self._key, Entry(fresh.encode(), 0)), again=True)
        entry = server.run(lambda client: client.get(self._key), again=True)
        known[server] = fresh if entry is None else entry.value.decode()
        return known[server]

    def _tell(self, server: Server, generation: str) -> None:
        entry = Entry(generation.encode(), 0)
        server.run(lambda client: client.set(self._key, entry), again=True)

    @staticmethod
    def _fresh(last: str) -> str:
        """Return a generation newer than another: the microseconds, and chance."""
        now = time.time_ns() // 1000
        if last:
            now = max(now, int(last[:-4], 16) + 1)
        return f"{now:014x}{secrets.token_hex(2)}"

    def _remember(self, generation: str) -> None:
        self._prefix = f"{self._namespace}.{generation}"
        self._until = time.monotonic() + self._keep
