"""The entries of one namespace in the cache, and what happens when the cache fails."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from rolehost.caching.generations import Generation
from rolehost.caching.guard import Guard
from rolehost.caching.keys import LONGEST, digest, within
from rolehost.caching.serializers import Entry, Serializer, Unreadable
from rolehost.errors import CapabilityMissing, StorageError, StorageUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Entries(Generic[T]):
    """Reads and writes entries through the guard. Thread-safe.

    Args:
        guard: the cache of this process.
        namespace: name of the namespace.
        serializer: makes bytes of values.
        invalidate_within: seconds after which its generation is asked anew.
        strict: True: a cache that is away raises.
    """

    def __init__(
        self,
        guard: Guard,
        namespace: str,
        serializer: Serializer[T],
        *,
        invalidate_within: float,
        strict: bool,
    ) -> None:
        self.cache = guard.cache
        self.namespace = namespace
        self.serializer = serializer
        self.strict = strict
        self.generation = Generation(guard.cache, namespace, invalidate_within)
        self._guard = guard

    def find(self, key: str) -> Entry[T] | None:
        """Return what is kept under a key, fresh or not; counts only what fails."""
        guard = self._guard
        # PERF: attempt() without its closure; this is on the way of every get.
        if guard.failing and not guard.admit():
            return self._given_up(guard.refusal(), None, "error", False)
        try:
            data = self.cache.get(within(self.generation.prefix(), key))
        except StorageError as error:
            guard.failed(self.namespace, error)
            return self._given_up(error, None, "error", False)
        if guard.failing:
            guard.succeeded()
        if data is None:
            return None
        try:
            return self.serializer.load(data)
        except Unreadable:
            self._guard.count(self.namespace, "discarded")
            return None

    def readable(self, data: bytes) -> Entry[T] | None:
        """Return the value of an entry, or None when it is not of this type or format."""
        try:
            return self.serializer.load(data)
        except Unreadable:
            self._guard.count(self.namespace, "discarded")
            return None

    def store(
        self,
        key: str,
        data: bytes,
        ttl: float | None,
        tags: Collection[str],
        *,
        prefix: str | None = None,
    ) -> None:
        """Store bytes; with ``prefix`` those of a computation that began under it."""
        self.need_tags(tags)

        def write() -> None:
            place = within(self.generation.prefix() if prefix is None else prefix, key)
            try:
                if tags:
                    self.cache.set_tagged(place, data, [self.tag(tag) for tag in tags], ttl)
                else:
                    self.cache.set(place, data, ttl)
            except StorageUnavailable:
                raise
            except StorageError:
                self.cache.delete(place)  # what was there before is wrong now
                raise

        self.attempt(write, None, outcome="dropped", replaces=prefix is None)

    def place(self, key: str) -> str:
        """Return the key in the cache.

        Raises:
            StorageError: the generation has to be asked, and the cache is away.
        """
        return within(self.generation.prefix(), key)

    def prefix(self) -> str | None:
        """Return what keys begin with now; None when the cache is away."""
        nothing: str | None = None
        return self.attempt(self.generation.prefix, nothing)

    def attempt(
        self,
        call: Callable[[], R],
        otherwise: R,
        *,
        outcome: str = "error",
        replaces: bool = False,
        strict: bool = False,
    ) -> R:
        """Make a call that the cache may fail.

        Args:
            call: asks the cache.
            otherwise: what is returned when it failed.
            outcome: how that is counted.
            replaces: True: when it is lost, older values are wrong.
            strict: True: it raises instead.
        """
        guard = self._guard
        if not guard.admit():
            return self._given_up(guard.refusal(), otherwise, outcome, replaces, strict)
        try:
            answer = call()
        except CapabilityMissing:
            guard.succeeded()
            raise
        except StorageError as error:
            guard.failed(self.namespace, error)
            lost = replaces and isinstance(error, StorageUnavailable)
            return self._given_up(error, otherwise, outcome, lost, strict)
        if guard.failing:
            guard.succeeded()
        return answer

    def count(self, outcome: str, count: int = 1) -> None:
        """Tell the recorder."""
        self._guard.count(self.namespace, outcome, count)

    def _given_up(
        self, error: StorageError, otherwise: R, outcome: str, lost: bool, strict: bool = False
    ) -> R:
        self._guard.count(self.namespace, outcome)
        if lost:
            self.generation.distrust()
        if strict or self.strict:
            raise error
        return otherwise

    def need_tags(self, tags: Collection[str]) -> None:
        """Refuse tags where the backend has none.

        Raises:
            CapabilityMissing: it does not declare them.
        """
        if tags and "tags" not in self.cache.capabilities:
            raise CapabilityMissing(f"{type(self.cache).__name__} does not declare 'tags'")

    def tag(self, tag: str) -> str:
        """Return the name of a tag in the cache."""
        name = f"{self.namespace}:{tag}"
        return name if len(name) <= LONGEST and tag.isprintable() else digest(name)
