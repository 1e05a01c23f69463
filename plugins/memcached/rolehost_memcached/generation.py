"""The generation of a namespace: ``clear()`` begins a new one, with other keys.

``flush_all`` would also remove the entries of other users of the servers. Every server stores the
generation, and the newest one counts. So if one server fails, the entries of the others stay. If
that server comes back with old memory, entries that were cleared in the meantime stay hidden.
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
    """The present generation, read again from time to time. Thread-safe."""

    def __init__(self, servers: Servers, settings: MemcachedSettings) -> None:
        self._servers = servers
        self._namespace = settings.namespace
        self._key = f"{settings.namespace}!generation"
        self._keep = settings.clear_within
        self._guard = threading.Lock()
        self._prefix = ""
        self._until = 0.0

    def prefix(self) -> str:
        """Return the beginning of every key of the present generation."""
        if time.monotonic() >= self._until:
            with self._guard:
                if time.monotonic() >= self._until:
                    self._remember(self._read())
        return self._prefix

    def begin(self) -> None:
        """Begin a new generation: no entry of earlier ones is found again.

        Raises:
            StorageUnavailable: no server answers.
        """
        with self._guard:
            new = self._newer_than(self._read())
            for server in self._servers.alive():
                with suppress(StorageUnavailable):  # a later reader writes it to that server
                    self._write(server, new)
            self._remember(new)

    def _read(self) -> str:
        """Return the newest generation of all servers; begin one if all servers have lost it.

        A new generation never repeats an old one, because old entries would be found again.
        """
        known: dict[Server, str] = {}
        failure: StorageUnavailable | None = None
        for server in self._servers.alive():
            try:
                entry = server.run(lambda client: client.get(self._key), retry=True)
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
                    self._write(server, newest)
        return newest

    def _first(self, known: dict[Server, str]) -> str:
        """Begin the first generation; if several processes do, one of them wins."""
        new = self._newer_than("")
        server = next(iter(known))
        server.run(lambda client: client.add(self._key, Entry(new.encode(), 0)), retry=True)
        entry = server.run(lambda client: client.get(self._key), retry=True)
        known[server] = new if entry is None else entry.value.decode()
        return known[server]

    def _write(self, server: Server, generation: str) -> None:
        entry = Entry(generation.encode(), 0)
        server.run(lambda client: client.set(self._key, entry), retry=True)

    @staticmethod
    def _newer_than(last: str) -> str:
        """Return a generation newer than another: microseconds and a random number."""
        now = time.time_ns() // 1000
        if last:
            now = max(now, int(last[:-4], 16) + 1)
        return f"{now:014x}{secrets.token_hex(2)}"

    def _remember(self, generation: str) -> None:
        self._prefix = f"{self._namespace}.{generation}"
        self._until = time.monotonic() + self._keep
