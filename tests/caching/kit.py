"""Backends, clocks and recorders for the tests of the cache layer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rolehost.api import Cache, Caching, CachingOptions, Secret, StorageUnavailable
from rolehost.caching import CircuitBreaker
from rolehost_embedded.cache import EmbeddedCache
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings
from rolehost_redis.cache import RedisCache
from rolehost_redis.settings import RedisSettings


class Price(msgspec.Struct, frozen=True):
    amount: str
    currency: str = "EUR"


class Remembers:
    """A recorder that counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        self.counts[outcome] += count


class Chance(random.Random):
    """Returns one number, so that early computation always or never happens."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number

    def random(self) -> float:
        return self.number


class Failing(EmbeddedCache):
    """A cache in memory that declares ``shared`` and can be made unavailable."""

    capabilities = EmbeddedCache.capabilities | {"shared"}

    def __init__(self) -> None:
        super().__init__(EmbeddedSettings(path=Path("unused.db")))
        self.error: Exception | None = None
        self.calls = 0

    def __getattribute__(self, name: str) -> Any:
        if name in _CALLS:
            self.calls += 1
            if self.error is not None:
                raise self.error
        return super().__getattribute__(name)

    def fail(self) -> None:
        self.error = StorageUnavailable("the server is away")

    def restore(self) -> None:
        self.error = None


_CALLS = {"get", "set", "add", "delete", "get_many", "set_many", "incr", "touch", "drop_tagged"}


def embedded() -> Cache:
    return EmbeddedCache(EmbeddedSettings(path=Path("unused.db")))


def redis(url: str, namespace: str) -> Cache:
    return RedisCache(RedisSettings(url=Secret(url), namespace=namespace))


def memcached(url: str, namespace: str) -> Cache:
    server = url.removeprefix("memcached://").rstrip("/")
    return MemcachedCache(MemcachedSettings(servers=(server,), namespace=namespace))


def open_values(
    cache: Cache,
    value_type: Any = Any,
    *,
    namespace: str = "test",
    breaker: CircuitBreaker | None = None,
    recorder: Remembers | None = None,
    now: Callable[[], float] = lambda: 1000.0,
    chance: random.Random | None = None,
    **options: Any,
) -> Caching[Any]:
    """Make a namespace without a process of the host around it."""
    return Caching(
        breaker or CircuitBreaker(cache, recorder),
        namespace,
        value_type,
        CachingOptions(**{"ttl": 60, "invalidate_within": 0.0, **options}),
        now=now,
        chance=chance or Chance(0.0),
    )
