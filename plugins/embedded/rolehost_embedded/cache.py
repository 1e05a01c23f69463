"""Storage kind ``cache`` in the memory of one process."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import ClassVar, NamedTuple

from rolehost.api import Cache, Lease, Quota

from rolehost_embedded import abilities
from rolehost_embedded.cache_limits import Limits
from rolehost_embedded.cache_locks import Locks
from rolehost_embedded.settings import EmbeddedSettings

#: Bytes of an entry besides key and value; about the overhead of CPython.
_OVERHEAD = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(rb"-?[0-9]+")


class _Entry(NamedTuple):
    value: bytes
    ends: float | None
    size: int
    tags: frozenset[str] = frozenset()


class EmbeddedCache(Cache):
    """A cache for each process. If it is full, the least recently used entries are removed.

    Args:
        settings: the plugin's settings.
        clock: returns seconds that never go back.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.CACHE

    def __init__(
        self, settings: EmbeddedSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_entries = settings.cache_entries
        self._max_bytes = settings.cache_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._tagged: dict[str, set[str]] = {}
        self._bytes = 0
        self._guard = threading.Lock()
        self._limits = Limits(clock)
        self._locks = Locks(clock)

    def get(self, key: str) -> bytes | None:
        """See :meth:`rolehost.api.Cache.get`."""
        _check_key(key)
        with self._guard:
            entry = self._live(key)
            return None if entry is None else entry.value

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set`."""
        ends = self._expiry(ttl)
        _check_key(key)
        with self._guard:
            self._put(key, bytes(value), ends)

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See :meth:`rolehost.api.Cache.add`."""
        ends = self._expiry(ttl)
        _check_key(key)
        with self._guard:
            if self._live(key) is not None:
                return False
            self._put(key, bytes(value), ends)
            return True

    def delete(self, key: str) -> bool:
        """See :meth:`rolehost.api.Cache.delete`."""
        _check_key(key)
        with self._guard:
            there = self._live(key) is not None
            self._drop(key)
            return there

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See :meth:`rolehost.api.Cache.get_many`."""
        found = {key: self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set_many`."""
        for key, value in values.items():
            self.set(key, value, ttl)

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """See :meth:`rolehost.api.Cache.incr`."""
        ends = self._expiry(ttl)
        _check_key(key)
        with self._guard:
            entry = self._live(key)
            if entry is None:
                self._put(key, b"%d" % by, ends)
                return by
            if not _NUMBER.fullmatch(entry.value):
                raise ValueError(f"the entry {key!r} is not a decimal number")
            number = int(entry.value) + by
            self._put(key, b"%d" % number, entry.ends, entry.tags)
            return number

    def touch(self, key: str, ttl: float | None) -> bool:
        """See :meth:`rolehost.api.Cache.touch`."""
        ends = self._expiry(ttl)
        _check_key(key)
        with self._guard:
            entry = self._live(key)
            if entry is None:
                return False
            self._entries[key] = entry._replace(ends=ends)
            return True

    def clear(self) -> None:
        """See :meth:`rolehost.api.Cache.clear`."""
        with self._guard:
            self._entries.clear()
            self._tagged.clear()
            self._bytes = 0

    def set_tagged(
        self, key: str, value: bytes, tags: Collection[str], ttl: float | None = None
    ) -> None:
        """See :meth:`rolehost.api.Cache.set_tagged`."""
        ends = self._expiry(ttl)
        for text in (key, *tags):
            _check_key(text)
        with self._guard:
            self._put(key, bytes(value), ends, frozenset(tags))

    def drop_tagged(self, tags: Collection[str]) -> int:
        """See :meth:`rolehost.api.Cache.drop_tagged`."""
        for tag in tags:
            _check_key(tag)
        with self._guard:
            keys = set().union(*(self._tagged.get(tag, ()) for tag in tags))
            there = sum(self._live(key) is not None for key in keys)
            for key in keys:
                self._drop(key)
        return there

    def hit(self, name: str, limit: int, period: float, cost: int = 1) -> Quota:
        """See :meth:`rolehost.api.Cache.hit`; each process counts for itself."""
        _check_key(name)
        return self._limits.hit(name, limit, period, cost)

    def lock(self, name: str, ttl: float) -> Lease | None:
        """See :meth:`rolehost.api.Cache.lock`; excludes only threads of this process."""
        _check_key(name)
        self._expiry(ttl)
        return self._locks.lock(name, ttl)

    def renew(self, lease: Lease, ttl: float) -> bool:
        """See :meth:`rolehost.api.Cache.renew`."""
        self._expiry(ttl)
        return self._locks.renew(lease, ttl)

    def release(self, lease: Lease) -> bool:
        """See :meth:`rolehost.api.Cache.release`."""
        return self._locks.release(lease)

    def ping(self) -> None:
        """See :meth:`rolehost.api.Cache.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Cache.close`."""
        self.clear()

    def _expiry(self, ttl: float | None) -> float | None:
        if ttl is None:
            return None
        if not ttl > 0:  # also refuses NaN
            raise ValueError(f"a time to live must be positive, not {ttl}")
        return self._clock() + ttl

    def _live(self, key: str) -> _Entry | None:
        """Return an entry that has not expired; it becomes the most recently used one."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends is not None and entry.ends <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _put(
        self, key: str, value: bytes, ends: float | None, tags: frozenset[str] = frozenset()
    ) -> None:
        self._drop(key)
        size = len(key) + len(value) + _OVERHEAD * (1 + len(tags))
        if size > self._max_bytes:
            return  # larger than the whole cache: as if it were removed at once
        self._entries[key] = _Entry(value, ends, size, tags)
        for tag in tags:
            self._tagged.setdefault(tag, set()).add(key)
        self._bytes += size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry.size
        for tag in entry.tags:
            keys = self._tagged[tag]
            keys.discard(key)
            if not keys:
                del self._tagged[tag]


def _check_key(key: str) -> None:
    if not key or len(key) > 200 or _CONTROL.search(key):
        raise ValueError(
            f"a cache key has 1 to 200 characters and no control characters, not {key!r}"
        )
