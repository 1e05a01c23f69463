"""Storage kind ``cache`` in memory, shared by everything in a world."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import ClassVar, NamedTuple

from rolehost.storage.cache import Cache, Lease, Quota

from rolehost_testing.memory import abilities

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(rb"-?[0-9]+")


class _Entry(NamedTuple):
    value: bytes
    ends: float | None
    tags: frozenset[str] = frozenset()


class MemoryCache(Cache):
    """Entries until they end; none is removed for lack of space.

    Args:
        clock: returns seconds.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.CACHE

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._full_again: dict[str, float] = {}
        self._locks: dict[str, tuple[int, float]] = {}
        self._token = 0
        self._guard = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """See :meth:`rolehost.api.Cache.get`."""
        _check(key)
        with self._guard:
            entry = self._live(key)
        return None if entry is None else entry.value

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set`."""
        self.set_tagged(key, value, (), ttl)

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See :meth:`rolehost.api.Cache.add`."""
        ends = self._ends(ttl)
        _check(key)
        with self._guard:
            if self._live(key) is not None:
                return False
            self._entries[key] = _Entry(bytes(value), ends)
        return True

    def delete(self, key: str) -> bool:
        """See :meth:`rolehost.api.Cache.delete`."""
        _check(key)
        with self._guard:
            there = self._live(key) is not None
            self._entries.pop(key, None)
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
        ends = self._ends(ttl)
        _check(key)
        with self._guard:
            entry = self._live(key)
            if entry is None:
                entry = _Entry(b"0", ends)
            elif not _NUMBER.fullmatch(entry.value):
                raise ValueError(f"the entry {key!r} is not a decimal number")
            number = int(entry.value) + by
            self._entries[key] = entry._replace(value=b"%d" % number)
        return number

    def touch(self, key: str, ttl: float | None) -> bool:
        """See :meth:`rolehost.api.Cache.touch`."""
        ends = self._ends(ttl)
        _check(key)
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

    def set_tagged(
        self, key: str, value: bytes, tags: Collection[str], ttl: float | None = None
    ) -> None:
        """See :meth:`rolehost.api.Cache.set_tagged`."""
        ends = self._ends(ttl)
        for text in (key, *tags):
            _check(text)
        with self._guard:
            self._entries[key] = _Entry(bytes(value), ends, frozenset(tags))

    def drop_tagged(self, tags: Collection[str]) -> int:
        """See :meth:`rolehost.api.Cache.drop_tagged`."""
        for tag in tags:
            _check(tag)
        wanted = frozenset(tags)
        with self._guard:
            keys = [key for key, entry in self._entries.items() if entry.tags & wanted]
            there = sum(self._live(key) is not None for key in keys)
            for key in keys:
                self._entries.pop(key, None)
        return there

    def hit(self, name: str, limit: int, period: float, cost: int = 1) -> Quota:
        """See :meth:`rolehost.api.Cache.hit`."""
        _check(name)
        if limit < 1 or not 0 < period < float("inf") or not 1 <= cost <= limit:
            raise ValueError(f"invalid limit: {cost} of {limit} hits in {period} s")
        each = period / limit
        with self._guard:
            now = self._clock()
            full_again = max(self._full_again.get(name, now), now)
            wanted = full_again + cost * each
            # A billionth of a period is allowed: a hit after ``retry_after`` must not fail by
            # rounding.
            over = wanted - now - period * (1 + 1e-9)
            if over > 0:
                return Quota(False, _whole((now + period - full_again) / each), over)
            self._full_again[name] = wanted
        return Quota(True, _whole((now + period - wanted) / each), 0.0)

    def lock(self, name: str, ttl: float) -> Lease | None:
        """See :meth:`rolehost.api.Cache.lock`."""
        _check(name)
        ends = self._ends(ttl)
        with self._guard:
            if self._held(name) is not None:
                return None
            self._token += 1
            self._locks[name] = self._token, ends or 0.0
            return Lease(name, self._token)

    def renew(self, lease: Lease, ttl: float) -> bool:
        """See :meth:`rolehost.api.Cache.renew`."""
        ends = self._ends(ttl)
        with self._guard:
            if self._held(lease.name) != lease.token:
                return False
            self._locks[lease.name] = lease.token, ends or 0.0
        return True

    def release(self, lease: Lease) -> bool:
        """See :meth:`rolehost.api.Cache.release`."""
        with self._guard:
            if self._held(lease.name) != lease.token:
                return False
            del self._locks[lease.name]
        return True

    def ping(self) -> None:
        """See :meth:`rolehost.api.Cache.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Cache.close`; the entries belong to the world and stay."""

    def _ends(self, ttl: float | None) -> float | None:
        if ttl is None:
            return None
        if not ttl > 0:  # also refuses NaN
            raise ValueError(f"a time to live must be positive, not {ttl}")
        return self._clock() + ttl

    def _live(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.ends is not None and entry.ends <= self._clock():
            del self._entries[key]
            return None
        return entry

    def _held(self, name: str) -> int | None:
        token, ends = self._locks.get(name, (None, 0.0))
        return token if ends > self._clock() else None


def _whole(hits: float) -> int:
    return max(0, int(hits + 1e-6))


def _check(key: str) -> None:
    if not key or len(key) > 200 or _CONTROL.search(key):
        raise ValueError(
            f"a cache key has 1 to 200 characters and no control characters, not {key!r}"
        )
