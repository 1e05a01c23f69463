"""Reading and writing the entries of one namespace, also while the cache fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from rolehost.caching.breaker import CircuitBreaker
from rolehost.caching.keys import MAX_KEY_LENGTH, Generation, digest, join_key
from rolehost.caching.options import CachingOptions
from rolehost.caching.serializers import Entry, Serializer, Unreadable
from rolehost.errors import CapabilityMissing, StorageError, StorageUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Entries(Generic[T]):
    """The entries of a namespace. Thread-safe."""

    def __init__(
        self,
        breaker: CircuitBreaker,
        namespace: str,
        serializer: Serializer[T],
        options: CachingOptions,
    ) -> None:
        self.cache = breaker.cache
        self.namespace = namespace
        self.serializer = serializer
        self.generation = Generation(breaker.cache, namespace, options.invalidate_within)
        self._strict = options.strict
        self._breaker = breaker

    def find(self, key: str) -> Entry[T] | None:
        """Return the entry of a key, fresh or not; the caller counts hits and misses."""
        breaker = self._breaker
        # PERF: this is attempt() without its closure, because every get runs it.
        if breaker.failing and not breaker.admit():
            return self._failed(breaker.unavailable(), None)
        try:
            data = self.cache.get(join_key(self.generation.prefix(), key))
        except StorageError as error:
            breaker.failed(self.namespace, error)
            return self._failed(error, None)
        if breaker.failing:
            breaker.succeeded()
        return None if data is None else self.decode(data)

    def find_many(self, keys: Sequence[str]) -> dict[str, Entry[T]]:
        """Return the entries of several keys, like :meth:`find`."""

        def read() -> dict[str, bytes]:
            names = {self.full_key(key): key for key in keys}
            return {names[name]: data for name, data in self.cache.get_many(names).items()}

        stored = self.attempt(read, None) or {}
        found = {key: self.decode(data) for key, data in stored.items()}
        return {key: entry for key, entry in found.items() if entry is not None}

    def decode(self, data: bytes) -> Entry[T] | None:
        """Decode an entry; return None, and count it, if it has another type or format."""
        try:
            return self.serializer.load(data)
        except Unreadable:
            self.count("discarded")
            return None

    def store(
        self,
        key: str,
        data: bytes,
        ttl: float | None,
        tags: Collection[str] = (),
        *,
        prefix: str | None = None,
    ) -> None:
        """Store bytes; ``prefix`` is the key prefix at the time when their computation began."""
        names = self.tags(tags)

        def write() -> None:
            full_key = join_key(self.generation.prefix() if prefix is None else prefix, key)
            try:
                if names:
                    self.cache.set_tagged(full_key, data, names, ttl)
                else:
                    self.cache.set(full_key, data, ttl)
            except StorageUnavailable:
                raise
            except StorageError:
                self.cache.delete(full_key)  # the old value is outdated now
                raise

        self.attempt(write, None, outcome="dropped", replaces=prefix is None)

    def full_key(self, key: str) -> str:
        """Return the key in the cache; raise StorageError if the generation cannot be read."""
        return join_key(self.generation.prefix(), key)

    def attempt(
        self,
        call: Callable[[], R],
        otherwise: R,
        *,
        outcome: str = "error",
        replaces: bool = False,
        strict: bool = False,
    ) -> R:
        """Call the cache; if the call fails, count ``outcome`` and return ``otherwise``.

        ``replaces``: without the call, values in the cache are outdated; so if the cache is
        unavailable, the namespace is invalidated before its next use. ``strict``: raise the error
        instead of returning ``otherwise``.
        """
        breaker = self._breaker
        if breaker.failing and not breaker.admit():
            return self._failed(breaker.unavailable(), otherwise, outcome, replaces, strict)
        try:
            answer = call()
        except CapabilityMissing:
            breaker.succeeded()
            raise
        except StorageError as error:
            breaker.failed(self.namespace, error)
            lost = replaces and isinstance(error, StorageUnavailable)
            return self._failed(error, otherwise, outcome, lost, strict)
        if breaker.failing:
            breaker.succeeded()
        return answer

    def _failed(
        self,
        error: StorageError,
        otherwise: R,
        outcome: str = "error",
        lost: bool = False,
        strict: bool = False,
    ) -> R:
        self.count(outcome)
        if lost:
            self.generation.invalidate_later()
        if strict or self._strict:
            raise error
        return otherwise

    def count(self, outcome: str, count: int = 1) -> None:
        """Count values with an outcome of :meth:`rolehost.api.Recorder.cache`."""
        self._breaker.count(self.namespace, outcome, count)

    def tags(self, tags: Collection[str]) -> list[str]:
        """Return tags as the cache names them, or raise CapabilityMissing."""
        if not tags:
            return []
        if "tags" not in self.cache.capabilities:
            raise CapabilityMissing(f"{type(self.cache).__name__} does not declare 'tags'")
        return [self._tag(tag) for tag in tags]

    def _tag(self, tag: str) -> str:
        name = f"{self.namespace}:{tag}"
        return name if len(name) <= MAX_KEY_LENGTH and tag.isprintable() else digest(name)
