"""One namespace of typed values in the cache."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

from msgspec import UNSET, UnsetType

from rolehost.caching.breaker import CircuitBreaker
from rolehost.caching.computing import Computation, SingleFlight
from rolehost.caching.entries import Entries
from rolehost.caching.keys import check_namespace
from rolehost.caching.options import CachingOptions
from rolehost.caching.serializers import Serializer
from rolehost.errors import StorageError, StorageUnavailable

T = TypeVar("T")
D = TypeVar("D")


#: Seconds; None: no expiry; UNSET: the default of the namespace.
TTL = float | None | UnsetType


class Caching(Generic[T]):
    """Values of one type by key. Thread-safe; blocking, like every storage.

    If the cache is unavailable, no error is raised: reads are misses, and writes are dropped.
    After a dropped write the namespace is invalidated, because it may have values that the write
    should have replaced. But :meth:`add` and :meth:`incr` raise
    :class:`~rolehost.errors.StorageUnavailable`, because they have no safe default result. If
    ``strict`` is set, every call raises this error. A value of another type, which another version
    of the program wrote, is a miss.

    Get an instance from :meth:`rolehost.api.Services.caching`. The type of a value is checked when
    it is read, not when it is stored.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
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
        self._cache = breaker.cache
        self._serializer: Serializer[T] = Serializer(options.serializer, value_type)
        self._entries: Entries[T] = Entries(breaker, namespace, self._serializer, options)
        self._now = now
        self._flights: SingleFlight[T] = SingleFlight(self._entries, options, now, chance)

    @overload
    def get(self, key: str) -> T | None: ...
    @overload
    def get(self, key: str, default: D) -> T | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or ``default`` if there is no value or it is not fresh."""
        entry = self._entries.find(key)
        if entry is None or (entry.expires_at is not None and entry.expires_at <= self._now()):
            self._entries.count("miss")
            return default
        self._entries.count("hit")
        return entry.value

    def set(self, key: str, value: T, ttl: TTL = UNSET, *, tags: Collection[str] = ()) -> None:
        """Store a value.

        Args:
            key: any text that is not empty.
            value: a value of the type.
            ttl: seconds; default: the ``ttl`` of the namespace; None: no expiry.
            tags: names for :meth:`drop_tagged`.

        Raises:
            CapabilityMissing: there are tags, and the backend does not declare them.
            TypeError: the value cannot be written.
        """
        self._entries.store(key, self._serializer.dump(value), self._ttl(ttl), tags)

    def add(self, key: str, value: T, ttl: TTL = UNSET) -> bool:
        """Store a value if the key has no value; return whether it was stored.

        Raises:
            StorageUnavailable: the cache is unavailable.
        """
        data, lifetime = self._serializer.dump(value), self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.add(self._entries.full_key(key), data, lifetime), False, strict=True
        )

    def delete(self, key: str) -> bool:
        """Remove a value; return whether there was one."""
        return self._entries.attempt(
            lambda: self._cache.delete(self._entries.full_key(key)),
            False,
            outcome="dropped",
            replaces=True,
        )

    def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """Return the values by key, without the keys that have no value."""
        wanted = list(dict.fromkeys(keys))
        now = self._now()
        values = {
            key: entry.value
            for key, entry in self._entries.find_many(wanted).items()
            if entry.expires_at is None or entry.expires_at > now
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
            stored = {self._entries.full_key(key): data for key, data in written.items()}
            try:
                self._cache.set_many(stored, lifetime)
            except StorageUnavailable:
                raise
            except StorageError:
                for full_key in stored:
                    self._cache.delete(full_key)
                raise

        self._entries.attempt(write, None, outcome="dropped", replaces=True)

    def incr(self, key: str, by: int = 1, ttl: TTL = UNSET) -> int:
        """Add to a counter, which begins at 0; return its new value.

        The counter continues from a whole number that :meth:`set` stored. :meth:`get` reads
        counters if the type allows whole numbers. ``ttl`` applies if this call creates the counter.

        Raises:
            StorageUnavailable: the cache is unavailable; it may have counted this call.
            ValueError: the value is not a whole number.
        """
        lifetime = self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.incr(self._entries.full_key(key), by, lifetime), 0, strict=True
        )

    def touch(self, key: str, ttl: TTL = UNSET) -> bool:
        """Set the time to live of a value again; return whether there is a value.

        A value of :meth:`get_or_compute` does not stay fresh longer.
        """
        lifetime = self._ttl(ttl)
        return self._entries.attempt(
            lambda: self._cache.touch(self._entries.full_key(key), lifetime),
            False,
            outcome="dropped",
        )

    def get_or_compute(
        self,
        key: str,
        compute: Callable[[], T],
        ttl: TTL = UNSET,
        *,
        tags: Collection[str] = (),
    ) -> T:
        """Return the value; compute and store it if there is no fresh one.

        If several threads and processes miss the value at the same time, one caller computes it,
        and the other callers wait for it, at most ``patience`` seconds. Shortly before the value
        expires, one caller computes it again, and the other callers get the old value. For
        ``stale`` seconds after its expiry, the old value is returned while a new one is computed,
        or if computing fails. An exception of ``compute`` is raised, also in the threads that
        waited, and is never cached.

        Args:
            key: any text that is not empty.
            compute: makes the value; called without arguments in the calling thread.
            ttl: seconds; default: the ``ttl`` of the namespace.
            tags: as for :meth:`set`.

        Raises:
            CapabilityMissing: there are tags, and the backend does not declare them.
            TypeError: the value cannot be written.
        """
        if tags:
            self._entries.tags(tags)  # refused before anything is computed
        entry = self._entries.find(key)
        if entry is not None and self._flights.is_usable(entry):
            self._entries.count("hit")
            return entry.value
        return self._flights.run(Computation(key, compute, self._ttl(ttl), tags), entry)

    def invalidate(self) -> None:
        """Forget every value of the namespace, in one call.

        Other processes forget them within ``invalidate_within`` seconds. A value that is being
        computed at that time is not cached.
        """
        self._entries.attempt(
            self._entries.generation.begin, None, outcome="dropped", replaces=True
        )

    def drop_tagged(self, *tags: str) -> int:
        """Forget the values of the namespace with one of these tags; return their number.

        A value that is being computed at that time is still cached. To prevent this, invalidate
        the namespace.

        Raises:
            CapabilityMissing: the backend does not declare tags.
        """
        names = self._entries.tags(tags)
        return self._entries.attempt(
            lambda: self._cache.drop_tagged(names), 0, outcome="dropped", replaces=True
        )

    def _ttl(self, ttl: TTL) -> float | None:
        return self.options.ttl if isinstance(ttl, UnsetType) else ttl
