"""Computes a value once, even if many callers miss it at the same time (*cache stampede*).

Within a process the first caller computes (single flight). Among processes, the process that adds
a lock with ``add()`` computes. If this process dies, the lock expires after ``patience`` seconds.
Shortly before a value expires, callers compute it again at random, as in "Optimal Probabilistic
Cache Stampede Prevention" (Vattani, Chierichetti, Lowenstein, PVLDB 8(8), 2015, algorithm XFetch).
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rolehost.caching.entries import Entries
from rolehost.caching.keys import digest
from rolehost.caching.options import CachingOptions
from rolehost.caching.serializers import Entry

log = logging.getLogger("rolehost.caching")

T = TypeVar("T")

#: Seconds between two checks for the value of another process, without jitter: first and longest.
_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.1

#: The largest value of -ln(1 - x) for a double below 1: 53 ln 2, rounded up.
_LARGEST_LOG = 37.0


@dataclass(slots=True, eq=False)
class Computation(Generic[T]):
    """The computation of a value, shared with the threads that wait for it."""

    key: str
    compute: Callable[[], T]
    ttl: float | None
    tags: Collection[str]
    #: The key prefix when the computation began; None if the cache is unavailable.
    prefix: str | None = None
    done: threading.Event = field(default_factory=threading.Event)
    #: Returns a new copy of the value for each caller.
    copy: Callable[[], T] | None = None
    #: The exception of ``compute``.
    error: Exception | None = None


class SingleFlight(Generic[T]):
    """The running computations of one namespace. Thread-safe."""

    def __init__(
        self,
        entries: Entries[T],
        options: CachingOptions,
        now: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._entries = entries
        self._options = options
        self._now = now
        self._chance = chance
        self._shared = {"shared", "atomic-add"} <= entries.cache.capabilities
        self._running: dict[str, Computation[T]] = {}
        self._lock = threading.Lock()

    def is_usable(self, entry: Entry[T]) -> bool:
        """Return whether to use a value; shortly before it expires, the result is random."""
        if entry.expires_at is None:
            return True
        now = self._now()
        ahead = entry.duration * self._options.eagerness
        # PERF: no random number if it could not change the result.
        if now + _LARGEST_LOG * ahead < entry.expires_at:
            return True
        return now - math.log(1.0 - self._chance.random()) * ahead < entry.expires_at

    def run(self, wanted: Computation[T], entry: Entry[T] | None) -> T:
        """Return a value: a fresh one, or ``entry`` while another caller computes a fresh one."""
        with self._lock:
            running = self._running.setdefault(wanted.key, wanted)
        if running is not wanted:
            return self._wait_for_leader(running, wanted, entry)
        try:
            return self._compute_as_leader(wanted, entry)
        except Exception as error:
            wanted.error = error
            raise
        finally:
            with self._lock:
                del self._running[wanted.key]
            wanted.done.set()

    def _wait_for_leader(
        self, running: Computation[T], wanted: Computation[T], entry: Entry[T] | None
    ) -> T:
        """Return the value of another thread's computation, or ``entry`` without waiting."""
        if entry is not None:
            return self._use_old(entry)
        self._entries.count("miss")
        if running.done.wait(self._options.patience):
            if running.error is not None:
                raise running.error
            if running.copy is not None:
                return running.copy()
        wanted.prefix = self._prefix()
        return self._compute(wanted)

    def _compute_as_leader(self, wanted: Computation[T], entry: Entry[T] | None) -> T:
        wanted.prefix = self._prefix()
        lock = f"{wanted.prefix}!{digest(wanted.key)}" if self._shared and wanted.prefix else None
        taken = lock is not None and self._acquire(lock)
        if lock is not None and not taken:
            if entry is not None:
                return self._use_old(entry)
            found, taken = self._wait_for_process(wanted.key, lock)
            if found is not None:
                return self._use_new(wanted, found)
        try:
            with self._release_after(lock if taken else None):
                # Another process may have stored a value since this process read the cache.
                found = self._entries.find(wanted.key)
                if found is not None and self._is_newer(found, entry):
                    return self._use_new(wanted, found)
                if entry is None:
                    self._entries.count("miss")
                return self._compute(wanted)
        except Exception:
            if entry is None:
                raise
            log.warning(
                "computing a value of %s failed, the old one is served",
                self._entries.namespace,
                exc_info=True,
            )
            return self._use_old(entry)

    def _compute(self, wanted: Computation[T]) -> T:
        began = time.perf_counter()
        value = wanted.compute()
        took = time.perf_counter() - began
        self._entries.count("computed")
        ttl = wanted.ttl
        if value is None and self._options.none_ttl is not None:
            ttl = self._options.none_ttl
            if ttl == 0:
                wanted.copy = lambda: value
                return value
        serializer = self._entries.serializer
        if ttl is None:
            data = serializer.dump(value)
        else:
            data = serializer.dump_computed(value, self._now() + ttl, took)
            ttl += self._options.stale
        # Each caller gets a copy, because callers may change values.
        wanted.copy = lambda: serializer.load(data).value
        if wanted.prefix is not None:
            self._entries.store(wanted.key, data, ttl, wanted.tags, prefix=wanted.prefix)
        return value

    def _prefix(self) -> str | None:
        return self._entries.attempt(self._entries.generation.prefix, None)

    def _acquire(self, lock: str) -> bool:
        """Take the lock; also True if the cache does not answer, so that the caller computes."""
        patience = self._options.patience
        return self._entries.attempt(lambda: self._entries.cache.add(lock, b"", patience), True)

    @contextmanager
    def _release_after(self, lock: str | None) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            # After the lock has expired, another process may hold it.
            if lock is not None and time.monotonic() - began < self._options.patience:
                self._entries.attempt(lambda: self._entries.cache.delete(lock), False)

    def _wait_for_process(self, key: str, lock: str) -> tuple[Entry[T] | None, bool]:
        """Return another process's value, or None, and whether this process has the lock now."""

        def read() -> tuple[bytes | None, bool]:
            full_key = self._entries.full_key(key)
            found = self._entries.cache.get_many([full_key, lock])
            return found.get(full_key), lock not in found

        deadline = time.monotonic() + self._options.patience
        pause = _FIRST_WAIT
        while time.monotonic() < deadline:
            time.sleep(pause * (0.5 + self._chance.random()))
            pause = min(2 * pause, _LONGEST_WAIT)
            data, free = self._entries.attempt(read, None) or (None, True)
            entry = None if data is None else self._entries.decode(data)
            if entry is not None and self._is_fresh(entry):
                return entry, False
            if free and self._acquire(lock):
                return None, True
        return None, False

    def _is_newer(self, found: Entry[T], entry: Entry[T] | None) -> bool:
        known = None if entry is None else (entry.expires_at, entry.duration)
        return (found.expires_at, found.duration) != known and self._is_fresh(found)

    def _is_fresh(self, entry: Entry[T]) -> bool:
        return entry.expires_at is None or entry.expires_at > self._now()

    def _use_new(self, wanted: Computation[T], entry: Entry[T]) -> T:
        data = self._entries.serializer.dump(entry.value)
        wanted.copy = lambda: self._entries.serializer.load(data).value
        self._entries.count("hit")
        return entry.value

    def _use_old(self, entry: Entry[T]) -> T:
        """Return an old value, because another caller computes it again or computing failed."""
        self._entries.count("hit" if self._is_fresh(entry) else "stale")
        return entry.value
