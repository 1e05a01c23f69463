"""Values that are computed once, however many ask for them at the same time.

Within a process the first caller computes and the others wait for what it made. Among processes
the one whose ``add()`` of a lock succeeded does; the lock ends by itself, so a process that died
holds it up no longer than ``patience`` seconds. Values are computed anew shortly before they
end, each caller by chance, as in "Optimal Probabilistic Cache Stampede Prevention" (Vattani,
Chierichetti, Lowenstein, PVLDB 8(8), 2015, algorithm XFetch).
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from rolehost.caching.entries import Entries
from rolehost.caching.keys import digest
from rolehost.caching.options import CachingOptions
from rolehost.caching.serializers import Entry

log = logging.getLogger("rolehost.caching")

T = TypeVar("T")

#: Seconds between two looks at what another process computes: at first, and at most.
_FIRST_LOOK, _LAST_LOOK = 0.005, 0.1

#: The largest value of -ln(1 - x) for a double below 1: 53 ln 2, rounded up.
_FARTHEST = 37.0


class _Flight(Generic[T]):
    """A computation under way in this process, and what came of it."""

    __slots__ = ("error", "landed", "made")

    def __init__(self) -> None:
        self.landed = threading.Event()
        #: Returns the value, to each caller one of its own; None when there is none.
        self.made: Callable[[], T] | None = None
        self.error: Exception | None = None


class Computing(Generic[T]):
    """The computations of one namespace. Thread-safe.

    Args:
        entries: of the namespace.
        options: how long values live, and others wait.
        now: returns seconds since the epoch.
        chance: random source.
    """

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
        self._locks = {"shared", "atomic-add"} <= entries.cache.capabilities
        self._flights: dict[str, _Flight[T]] = {}
        self._lock = threading.Lock()

    def fresh(self, entry: Entry[T]) -> bool:
        """Say whether a value is to be served as it is; near its end not to everybody."""
        if entry.ends is None:
            return True
        now = self._now()
        ahead = entry.took * self._options.eagerness
        # PERF: farther from its end than chance ever reaches, none is asked for.
        if now + _FARTHEST * ahead < entry.ends:
            return True
        return now - math.log(1.0 - self._chance.random()) * ahead < entry.ends

    def run(
        self,
        key: str,
        compute: Callable[[], T],
        entry: Entry[T] | None,
        ttl: float | None,
        tags: Collection[str],
    ) -> T:
        """Return a value: a fresh one, or ``entry`` while another makes a fresh one.

        Raises:
            Exception: ``compute`` raised it, and there is no ``entry``.
        """
        flight, own = self._join(key)
        if own:
            try:
                return self._fly(flight, key, compute, entry, ttl, tags)
            except Exception as error:
                flight.error = error
                raise
            finally:
                with self._lock:
                    self._flights.pop(key, None)
                flight.landed.set()
        if entry is not None:
            return self._serve(entry)
        self._entries.count("miss")
        if flight.landed.wait(self._options.patience):
            if flight.error is not None:
                raise flight.error
            if flight.made is not None:
                return flight.made()
        return self._make(flight, key, compute, ttl, tags, self._entries.prefix())

    def _join(self, key: str) -> tuple[_Flight[T], bool]:
        """Return the computation of a key, and whether it is the caller's to do."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True

    def _fly(
        self,
        flight: _Flight[T],
        key: str,
        compute: Callable[[], T],
        entry: Entry[T] | None,
        ttl: float | None,
        tags: Collection[str],
    ) -> T:
        prefix = self._entries.prefix()
        lock = f"{prefix}!{digest(key)}" if self._locks and prefix is not None else None
        locked = lock is not None and self._take(lock)
        if lock is not None and not locked:
            if entry is not None:
                return self._serve(entry)
            found, locked = self._wait(key, lock)
            if found is not None:
                return self._land(flight, found)
        began = time.monotonic()
        try:
            again = self._entries.find(key)  # another may have stored it since we looked
            if again is not None and again[1:] != (entry and entry[1:]) and self._fresh_now(again):
                return self._land(flight, again)
            if entry is None:
                self._entries.count("miss")
            return self._make(flight, key, compute, ttl, tags, prefix)
        except Exception:
            if entry is None:
                raise
            log.warning(
                "computing a value of %s failed, the old one is served",
                self._entries.namespace,
                exc_info=True,
            )
            return self._serve(entry)
        finally:
            # Not after it ended by itself: it would be another's by now.
            if lock and locked and time.monotonic() - began < self._options.patience:
                held = lock
                self._entries.attempt(lambda: self._entries.cache.delete(held), False)

    def _make(
        self,
        flight: _Flight[T],
        key: str,
        compute: Callable[[], T],
        ttl: float | None,
        tags: Collection[str],
        prefix: str | None,
    ) -> T:
        """Compute a value and store it, unless the cache is away."""
        began = time.perf_counter()
        value = compute()
        took = time.perf_counter() - began
        self._entries.count("computed")
        if value is None and self._options.none_ttl is not None:
            ttl = self._options.none_ttl
            if ttl == 0:
                flight.made = lambda: value
                return value
        serializer = self._entries.serializer
        if ttl is None:
            data = serializer.dump(value)
        else:
            data = serializer.dump_computed(value, self._now() + ttl, took)
            ttl += self._options.stale
        # Each who waits decodes one of its own, since values may be changed.
        flight.made = lambda: serializer.load(data).value
        if prefix is not None:
            self._entries.store(key, data, ttl, tags, prefix=prefix)
        return value

    def _take(self, lock: str) -> bool:
        """Say whether this process may compute."""
        patience = self._options.patience
        return self._entries.attempt(lambda: self._entries.cache.add(lock, b"", patience), True)

    def _wait(self, key: str, lock: str) -> tuple[Entry[T] | None, bool]:
        """Wait for another process.

        Returns:
            What it made, or None; and whether the lock is ours. Neither: it took too long.
        """
        deadline = time.monotonic() + self._options.patience
        pause = _FIRST_LOOK
        while time.monotonic() < deadline:
            time.sleep(pause * (0.5 + self._chance.random()))
            pause = min(2 * pause, _LAST_LOOK)
            data, free = self._look(key, lock)
            entry = None if data is None else self._entries.readable(data)
            if entry is not None and self._fresh_now(entry):
                return entry, False
            if free and self._take(lock):
                return None, True
        return None, False

    def _look(self, key: str, lock: str) -> tuple[bytes | None, bool]:
        """Return what is stored by now, and whether the lock is free."""

        def ask() -> tuple[bytes | None, bool]:
            place = self._entries.place(key)
            found = self._entries.cache.get_many([place, lock])
            return found.get(place), lock not in found

        away: tuple[bytes | None, bool] = (None, True)
        return self._entries.attempt(ask, away)

    def _fresh_now(self, entry: Entry[T]) -> bool:
        return entry.ends is None or entry.ends > self._now()

    def _land(self, flight: _Flight[T], entry: Entry[T]) -> T:
        """Return what somebody else made meanwhile."""
        data = self._entries.serializer.dump(entry.value)
        flight.made = lambda: self._entries.serializer.load(data).value
        self._entries.count("hit")
        return entry.value

    def _serve(self, entry: Entry[T]) -> T:
        """Return a value that is computed anew elsewhere, or could not be."""
        self._entries.count("hit" if self._fresh_now(entry) else "stale")
        return entry.value
