"""Storage kind ``cache`` on memcached."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from rolehost.api import Cache, ServerInfo, StorageBusy, StorageError

from rolehost_memcached import abilities
from rolehost_memcached.entries import Clock, Entry
from rolehost_memcached.generation import Generation
from rolehost_memcached.keys import check, encode
from rolehost_memcached.servers import Servers
from rolehost_memcached.settings import MemcachedSettings

_NUMBER = re.compile(rb"-?[0-9]+")
#: Returns the entry that replaces the present one; None changes nothing.
Change = Callable[[Entry | None], Entry | None]


class MemcachedCache(Cache):
    """Entries on one or several servers. A full server removes the least recently used entries.

    Args:
        settings: the plugin's settings.
        clock: returns seconds since the epoch; the clocks of all machines must agree.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.CACHE

    def __init__(self, settings: MemcachedSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = Clock(clock)
        self._servers = Servers(settings)
        self._generation = Generation(self._servers, settings)

    def get(self, key: str) -> bytes | None:
        """See :meth:`rolehost.api.Cache.get`."""
        name = self._name(key)
        found = self._servers.server_of(name).run(lambda client: client.fetch(name), retry=True)
        entry = self._clock.live(found)
        return None if entry is None else entry.value

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set`.

        Raises:
            StorageError: the value is larger than ``max_value``, or than the server takes.
        """
        entry = self._entry(key, value, self._clock.ends(ttl))
        name = self._name(key)
        self._servers.server_of(name).run(lambda client: client.store(name, entry), retry=True)

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See :meth:`rolehost.api.Cache.add`."""
        entry = self._entry(key, value, self._clock.ends(ttl))
        return self._change(key, lambda present: None if present else entry)

    def delete(self, key: str) -> bool:
        """See :meth:`rolehost.api.Cache.delete`; an expired entry counts as missing."""
        name = self._name(key)
        server = self._servers.server_of(name)
        if self._clock.live(server.run(lambda client: client.get(name), retry=True)) is None:
            return False
        return bool(server.run(lambda client: client.delete(name), retry=False))

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See :meth:`rolehost.api.Cache.get_many`; one round trip to each server."""
        names = {self._name(key): key for key in keys}
        found: dict[str, bytes] = {}
        for server, share in self._servers.group_by_server(names).items():
            entries = server.run(lambda client, share=share: client.get_many(share), retry=True)
            for name, entry in entries.items():
                live = self._clock.live(entry)
                if live is not None:
                    found[names[name]] = live.value
        return found

    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set_many`; one round trip to each server."""
        ends = self._clock.ends(ttl)
        entries = {self._name(key): self._entry(key, values[key], ends) for key in values}
        for server, share in self._servers.group_by_server(entries).items():
            part = {name: entries[name] for name in share}
            expiry = part[share[0]].server_expiry()
            failed = server.run(
                lambda client, part=part, expiry=expiry: client.set_many(part, expiry), retry=True
            )
            if failed:
                raise StorageError(f"memcached {server.name} did not store {len(failed)} values")

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """See :meth:`rolehost.api.Cache.incr`.

        memcached's ``incr`` is not used: it creates no entry, stops at 0 and wraps at 64 bits.
        """
        ends = self._clock.ends(ttl)
        number = 0

        def add(present: Entry | None) -> Entry:
            nonlocal number
            if present is not None and not _NUMBER.fullmatch(present.value):
                raise ValueError(f"the entry {key!r} is not a decimal number")
            number = by if present is None else int(present.value) + by
            return Entry(b"%d" % number, ends if present is None else present.ends)

        self._change(key, add)
        return number

    def touch(self, key: str, ttl: float | None) -> bool:
        """See :meth:`rolehost.api.Cache.touch`."""
        ends = self._clock.ends(ttl)
        return self._change(key, lambda present: present and present._replace(ends=ends))

    def clear(self) -> None:
        """See :meth:`rolehost.api.Cache.clear`; keys of other users of these servers stay.

        Other processes notice the clearing within ``clear_within`` seconds.
        """
        self._generation.begin()

    def ping(self) -> None:
        """See :meth:`rolehost.api.Cache.ping`; one server that answers is enough."""
        self._servers.version()

    def server_info(self) -> ServerInfo:
        """See :meth:`rolehost.api.Cache.server_info`; memcached has no clock command."""
        return ServerInfo(f"memcached {self._servers.version()}")

    def close(self) -> None:
        """See :meth:`rolehost.api.Cache.close`."""
        self._servers.close()

    def _name(self, key: str) -> str:
        """Return the key in memcached."""
        if not key or len(key) > 200 or not key.isprintable():
            check(key)  # before a server is asked
        return encode(self._generation.prefix(), key)

    def _entry(self, key: str, value: bytes, ends: int) -> Entry:
        if len(value) > self._settings.max_value:
            raise StorageError(
                f"the value of {key!r} has {len(value)} bytes, more than [memcached] max_value"
                f" ({self._settings.max_value})"
            )
        return Entry(bytes(value), ends)

    def _change(self, key: str, change: Change) -> bool:
        """Replace an entry by the result of ``change``, atomically; return whether it changed.

        Raises:
            StorageBusy: other clients kept changing the entry.
        """
        name = self._name(key)
        server = self._servers.server_of(name)
        deadline = time.monotonic() + self._settings.connection_wait
        while time.monotonic() < deadline:
            present, cas_token = server.run(lambda client: client.gets(name), retry=True)
            entry = change(self._clock.live(present))
            if entry is None:
                return False
            if self._compare_and_set(name, entry, cas_token):
                return True
        raise StorageBusy(f"memcached {server.name}: others kept changing {key!r}")

    def _compare_and_set(self, name: str, entry: Entry, cas_token: bytes | None) -> bool:
        """Store an entry unless it changed since ``cas_token`` was read (None: there was none)."""
        server, expiry = self._servers.server_of(name), entry.server_expiry()
        if cas_token is None:
            return bool(server.run(lambda client: client.add(name, entry, expiry), retry=False))
        return bool(
            server.run(lambda client: client.cas(name, entry, cas_token, expiry), retry=False)
        )
