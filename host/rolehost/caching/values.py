"""One namespace of typed values in the cache."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

from msgspec import UNSET, UnsetType

from rolehost.caching.computing import Computation, Computing
from rolehost.caching.entries import Entries
from rolehost.caching.guard import Guard
from rolehost.caching.keys import check_namespace
from rolehost.caching.options import CachingOptions
from rolehost.caching.serializers import Serializer
from rolehost.errors import StorageError, StorageUnavailable

T = TypeVar("T")
D = TypeVar("D")


#: Seconds, None for no end, or UNSET for the namespace's own.
TTL = float | None | UnsetType


class Caching(Generic[T]):
    """Values of one type under keys of any length. Thread-safe; blocking, as every storage.

    While the cache is away nothing is raised: reads are misses, writes are dropped and made up
    for by invalidating the namespace when it is back, since what they replaced is wrong. Two
    calls have no harmless answer and raise :class:`~rolehost.errors.StorageUnavailable`:
    :meth:`add` and :meth:`incr`; with ``strict`` all do. A value that another version of the
    program wrote, and that is not of the type, is a miss.

    Plugins get one from :meth:`rolehost.api.Services.caching`.

    Args:
        guard: the cache of this process.
        namespace: name of the namespace, the same in every process that shares the values.
        value_type: of the values; they are decoded as this type, not checked when stored.
        options: how it behaves.
        now: returns seconds since the epoch, the same on every machine.
        chance: random source of early computations.
    """

    def __init__(
        self,
        guard: Guard,
        namespace: str,
        value_type: Any,
        options: CachingOptions,
        *,
        now: Callable[[], float],
        chance: random.Random,
    ) -> None:
        check_namespace(namespace)
        self.namespace = namespace
        self.options = options
        self._cache = guard.cache
        self._serializer: Serializer[T] = Serializer(options.serializer, value_type)
        self._entries: Entries[T] = Entries(guard, namespace, self._serializer, options)
        self._now = now
        self._computing: Computing[T] = Computing(self._entries, options, now, chance)

    @overload
    def get(self, key: str) -> T | None: ...
    @overload
    def get(self, key: str, default: D) -> T | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or ``default`` when there is none or it is no longer fresh."""
        entry = self._entries.find(key)
        if entry is None or (entry.ends is not None and entry.ends <= self._now()):
            self._entries.count("miss")
            return default
        self._entries.count("hit")
        return entry.value

    def set(self, key: str, value: T, ttl: TTL = UNSET, *, tags: Collection[str] = ()) -> None:
        """Store a value.

        Args:
            key: any text that is not empty.
            value: one of the type.
            ttl: seconds; the namespace's own unless given, None is no end.
            tags: names by which :meth:`drop_tagged` finds it.

        Raises:
            CapabilityMissing: tags are given, and the backend does not declare them.
            TypeError: the value cannot be written.
        """
        self._entries.store(key, self._serializer.dump(value), self._ttl(ttl), tags)

    def add(self, key: str, value: T, ttl: TTL = UNSET) -> bool:
        """Store a value only when there is none; say whether it was stored.

        Raises:
            StorageUnavailable: the cache is away.
        """
        data, lifetime = self._serializer.dump(value), self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.add(self._entries.place(key), data, lifetime), False, strict=True
        )

    def delete(self, key: str) -> bool:
        """Remove a value; say whether there was one."""
        return self._entries.attempt(
            lambda: self._cache.delete(self._entries.place(key)),
            False,
            outcome="dropped",
            replaces=True,
        )

    def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """Return the values of those keys that have one."""
        wanted = list(dict.fromkeys(keys))
        now = self._now()
        values = {
            key: entry.value
            for key, entry in self._entries.find_many(wanted).items()
            if entry.ends is None or entry.ends > now
        }
        if values:
            self._entries.count("hit", len(values))
        if len(values) < len(wanted):
            self._entries.count("miss", len(wanted) - len(values))
        return values

    def set_many(self, values: Mapping[str, T], ttl: TTL = UNSET) -> None:
        """Store several values with one time to live."""
        written = {key: self._serializer.dump(value) for key, value in values.items()}
        lifetime = self._ttl(ttl)

        def write() -> None:
            placed = {self._entries.place(key): data for key, data in written.items()}
            try:
                self._cache.set_many(placed, lifetime)
            except StorageUnavailable:
                raise
            except StorageError:
                for place in placed:
                    self._cache.delete(place)
                raise

        self._entries.attempt(write, None, outcome="dropped", replaces=True)

    def incr(self, key: str, by: int = 1, ttl: TTL = UNSET) -> int:
        """Add to a counter that begins at 0; return its new value.

        A whole number that :meth:`set` stored is counted on; :meth:`get` reads counters where
        the type allows whole numbers. ``ttl`` applies when this call begins the counter.

        Raises:
            StorageUnavailable: the cache is away; it may have counted.
            ValueError: the value is no whole number.
        """
        lifetime = self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.incr(self._entries.place(key), by, lifetime), 0, strict=True
        )

    def touch(self, key: str, ttl: TTL = UNSET) -> bool:
        """Let a value live so long from now; say whether there is one.

        A value that :meth:`get_or_compute` made keeps the end of its freshness.
        """
        lifetime = self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.touch(self._entries.place(key), lifetime), False, outcome="dropped"
        )

    def get_or_compute(
        self,
        key: str,
        compute: Callable[[], T],
        ttl: TTL = UNSET,
        *,
        tags: Collection[str] = (),
    ) -> T:
        """Return the value; compute and store it when there is none that is fresh.

        Of all threads and processes that miss it at the same time one computes, the others
        wait for its value, at most ``patience`` seconds. Shortly before a value ends, one
        caller computes it anew while the others are served the old one; so is everybody, for
        ``stale`` seconds, while that lasts or when it fails. An exception of ``compute`` is
        raised, also to the threads that waited for it, and never kept.

        Args:
            key: any text that is not empty.
            compute: makes the value; called without arguments in the calling thread.
            ttl: seconds; the namespace's own unless given.
            tags: as of :meth:`set`.

        Raises:
            CapabilityMissing: tags are given, and the backend does not declare them.
            TypeError: the value cannot be written.
        """
        if tags:
            self._entries.tags(tags)  # refused before anything is computed
        entry = self._entries.find(key)
        if entry is not None and self._computing.fresh(entry):
            self._entries.count("hit")
            return entry.value
        return self._computing.run(Computation(key, compute, self._ttl(ttl), tags), entry)

    def invalidate(self) -> None:
        """Forget every value of the namespace, at the cost of one call.

        Other processes see it within ``invalidate_within`` seconds. A value that is being
        computed meanwhile is not kept.
        """
        self._entries.attempt(
            self._entries.generation.begin, None, outcome="dropped", replaces=True
        )

    def drop_tagged(self, *tags: str) -> int:
        """Forget every value of the namespace that was stored with one of these tags.

        Returns:
            How many there were. What is being computed meanwhile is kept: where that matters,
            invalidate the namespace.

        Raises:
            CapabilityMissing: the backend does not declare tags.
        """
        names = self._entries.tags(tags)
        return self._entries.attempt(
            lambda: self._cache.drop_tagged(names), 0, outcome="dropped", replaces=True
        )

    def _ttl(self, ttl: TTL) -> float | None:
        return self.options.ttl if isinstance(ttl, UnsetType) else ttl
