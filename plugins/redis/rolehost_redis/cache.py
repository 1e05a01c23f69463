"""Storage kind ``cache`` on Redis."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

import redis
from rolehost.api import Cache

from rolehost_redis import abilities
from rolehost_redis.errors import translated
from rolehost_redis.servers import place_of
from rolehost_redis.settings import RedisSettings

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: Milliseconds above which an entry is kept for ever: 10,000 years.
_EVER = 315_000_000_000_000
#: How many keys are looked through, or dropped, in one command while clearing.
_SCAN = 1000


class RedisCache(Cache):
    """Entries are plain strings under ``NAMESPACE:cache:KEY``.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.CACHE

    def __init__(self, settings: RedisSettings) -> None:
        self._prefix = f"{settings.namespace}:cache:"
        self._place = place_of(settings, "cache")
        self._client = self._place.client()

    def get(self, key: str) -> bytes | None:
        """See :meth:`rolehost.api.Cache.get`."""
        name = self._name(key)
        with translated(self._place):
            value: bytes | None = self._client.get(name)
        return value

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set`."""
        name, expiry = self._name(key), _milliseconds(ttl)
        with translated(self._place):
            self._client.set(name, value, px=expiry)

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See :meth:`rolehost.api.Cache.add`."""
        name, expiry = self._name(key), _milliseconds(ttl)
        with translated(self._place):
            return bool(self._client.set(name, value, px=expiry, nx=True))

    def delete(self, key: str) -> bool:
        """See :meth:`rolehost.api.Cache.delete`."""
        name = self._name(key)
        with translated(self._place):
            return bool(self._client.delete(name))

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See :meth:`rolehost.api.Cache.get_many`; one round trip."""
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        with translated(self._place):
            values = self._client.mget(list(names.values()))
        return {key: value for key, value in zip(names, values, strict=True) if value is not None}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set_many`; one round trip."""
        expiry = _milliseconds(ttl)
        names = {self._name(key): value for key, value in values.items()}
        if not names:
            return
        with translated(self._place), self._client.pipeline(transaction=False) as pipeline:
            for name, value in names.items():
                pipeline.set(name, value, px=expiry)
            pipeline.execute()

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """See :meth:`rolehost.api.Cache.incr`; counts to 64 bits.

        Raises:
            ValueError: besides, the number would need more than 64 bits.
        """
        name, expiry = self._name(key), _milliseconds(ttl)
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            if expiry is not None:
                pipeline.set(name, 0, px=expiry, nx=True)
            pipeline.incrby(name, by)
            try:
                number: int = pipeline.execute()[-1]
            except redis.ResponseError as error:
                if "not an integer" in str(error):
                    raise ValueError(f"the entry {key!r} holds no decimal number") from None
                if "overflow" in str(error):
                    raise ValueError(f"the entry {key!r} would leave 64 bits") from None
                raise
        return number

    def touch(self, key: str, ttl: float | None) -> bool:
        """See :meth:`rolehost.api.Cache.touch`."""
        name, expiry = self._name(key), _milliseconds(ttl)
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            pipeline.exists(name)
            if expiry is None:
                pipeline.persist(name)
            else:
                pipeline.pexpire(name, expiry)
            return bool(pipeline.execute()[0])

    def clear(self) -> None:
        """See :meth:`rolehost.api.Cache.clear`; other keys of the server stay.

        Walks through all keys of the Redis database in small steps, so that nobody waits for
        it; what is stored meanwhile may stay or go.
        """
        with translated(self._place):
            cursor = 0
            while True:
                cursor, names = self._client.scan(cursor, f"{self._prefix}*", _SCAN)
                if names:
                    self._client.unlink(*names)
                if not cursor:
                    return

    def ping(self) -> None:
        """See :meth:`rolehost.api.Cache.ping`."""
        with translated(self._place):
            self._client.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Cache.close`."""
        self._client.connection_pool.disconnect()

    def _name(self, key: str) -> str:
        """Return the key in Redis.

        Raises:
            ValueError: it is no cache key.
        """
        if not key or len(key) > 200 or _CONTROL.search(key):
            raise ValueError(
                f"a cache key has 1 to 200 characters and no control characters, not {key!r}"
            )
        return self._prefix + key


def _milliseconds(ttl: float | None) -> int | None:
    """Return a time to live as Redis takes it; None for ever.

    Raises:
        ValueError: it is no positive number.
    """
    if ttl is None:
        return None
    if not ttl > 0:  # also refuses NaN
        raise ValueError(f"a time to live must be positive, not {ttl}")
    return None if ttl * 1000 >= _EVER else math.ceil(ttl * 1000)
