"""Storage kind ``cache`` on Redis."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import redis
from rolehost.api import Cache, Lease, Quota, ServerInfo

from rolehost_redis import abilities
from rolehost_redis.connections import Connections
from rolehost_redis.limits import Limits
from rolehost_redis.locks import Locks
from rolehost_redis.servers import about, server_of
from rolehost_redis.settings import RedisSettings
from rolehost_redis.tags import Tags

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: A time to live of at least this many milliseconds, 10,000 years, is for ever.
_FOREVER_MS = 315_000_000_000_000
#: Keys that one command of ``clear()`` scans or deletes.
_SCAN = 1000


class RedisCache(Cache):
    """Entries are plain strings under ``NAMESPACE:cache:KEY``.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.CACHE

    def __init__(self, settings: RedisSettings) -> None:
        self._prefix = f"{settings.namespace}:cache"
        self._connections = Connections(server_of(settings, "cache"))
        self._tags = Tags(self._connections, self._prefix)
        self._limits = Limits(self._connections, f"{settings.namespace}:limit:")
        self._locks = Locks(self._connections, f"{settings.namespace}:lock:")

    def get(self, key: str) -> bytes | None:
        """See :meth:`rolehost.api.Cache.get`."""
        value: bytes | None = self._connections.run("GET", self._name(key), retry=True)
        return value

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set`."""
        self._connections.run(*_set_command(self._name(key), value, _milliseconds(ttl)), retry=True)

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See :meth:`rolehost.api.Cache.add`."""
        words = _set_command(self._name(key), value, _milliseconds(ttl))
        return self._connections.run(*words, "NX") is not None

    def delete(self, key: str) -> bool:
        """See :meth:`rolehost.api.Cache.delete`."""
        return bool(self._connections.run("DEL", self._name(key)))

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See :meth:`rolehost.api.Cache.get_many`; one round trip."""
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        values = self._connections.run("MGET", *names.values(), retry=True)
        return {key: value for key, value in zip(names, values, strict=True) if value is not None}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See :meth:`rolehost.api.Cache.set_many`; one round trip."""
        expiry = _milliseconds(ttl)
        commands = [_set_command(self._name(key), value, expiry) for key, value in values.items()]
        if commands:
            self._run_all(commands, retry=True)

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """See :meth:`rolehost.api.Cache.incr`; counts to 64 bits.

        Raises:
            ValueError: also if the number would need more than 64 bits.
        """
        name, expiry = self._name(key), _milliseconds(ttl)
        commands: list[tuple[Any, ...]] = [("INCRBY", name, by)]
        if expiry is not None:
            # One transaction: otherwise the entry could expire between the two commands, and
            # INCRBY would create one that never ends.
            start = (*_set_command(name, b"0", expiry), "NX")
            commands = [("MULTI",), start, *commands, ("EXEC",)]
        answers = self._connections.run_all(commands)
        number = answers[-1][-1] if isinstance(answers[-1], list) else answers[-1]
        if not isinstance(number, redis.RedisError):
            return int(number)
        if "not an integer" in str(number):
            raise ValueError(f"the entry {key!r} is not a decimal number")
        if "overflow" in str(number) or "out of range" in str(number):
            raise ValueError(f"the entry {key!r} would exceed 64 bits")
        # The first error has the reason; EXEC's error only says that a command was refused.
        raise self._connections.refusal(
            next(each for each in answers if isinstance(each, redis.RedisError))
        )

    def touch(self, key: str, ttl: float | None) -> bool:
        """See :meth:`rolehost.api.Cache.touch`."""
        return self._tags.touch(self._check_key(key), _milliseconds(ttl))

    def set_tagged(
        self, key: str, value: bytes, tags: Collection[str], ttl: float | None = None
    ) -> None:
        """See :meth:`rolehost.api.Cache.set_tagged`; one round trip."""
        checked = [self._check_key(tag) for tag in tags]
        self._tags.store(self._check_key(key), value, checked, _milliseconds(ttl))

    def drop_tagged(self, tags: Collection[str]) -> int:
        """See :meth:`rolehost.api.Cache.drop_tagged`; one round trip."""
        return self._tags.drop([self._check_key(tag) for tag in tags])

    def hit(self, name: str, limit: int, period: float, cost: int = 1) -> Quota:
        """See :meth:`rolehost.api.Cache.hit`; one round trip, by the server's clock."""
        return self._limits.hit(self._check_key(name), limit, period, cost)

    def lock(self, name: str, ttl: float) -> Lease | None:
        """See :meth:`rolehost.api.Cache.lock`; one round trip, by the server's clock."""
        return self._locks.lock(self._check_key(name), _milliseconds(ttl) or _FOREVER_MS)

    def renew(self, lease: Lease, ttl: float) -> bool:
        """See :meth:`rolehost.api.Cache.renew`."""
        return self._locks.renew(lease, _milliseconds(ttl) or _FOREVER_MS)

    def release(self, lease: Lease) -> bool:
        """See :meth:`rolehost.api.Cache.release`."""
        return self._locks.release(lease)

    def clear(self) -> None:
        """See :meth:`rolehost.api.Cache.clear`; other keys of the server stay.

        Scans all keys of the Redis database in small steps, so that other commands do not wait.
        Entries that are stored at the same time may be removed.
        """
        own = tuple(f"{self._prefix}{part}:".encode() for part in ("", "-tags", "-tag"))
        cursor = b"0"
        while True:
            words = ("SCAN", cursor, "MATCH", f"{self._prefix}*", "COUNT", _SCAN)
            cursor, found = self._connections.run(*words, retry=True)
            names = [name for name in found if name.startswith(own)]
            if names:
                self._connections.run("UNLINK", *names, retry=True)
            if cursor == b"0":
                return

    def ping(self) -> None:
        """See :meth:`rolehost.api.Cache.ping`."""
        self._connections.run("PING", retry=True)

    def server_info(self) -> ServerInfo:
        """See :meth:`rolehost.api.Cache.server_info`."""
        told = self._connections.run("INFO", "server", retry=True)
        return about(told, self._connections.run("TIME", retry=True))

    def close(self) -> None:
        """See :meth:`rolehost.api.Cache.close`."""
        self._connections.close()

    def _run_all(self, commands: list[tuple[Any, ...]], *, retry: bool) -> None:
        """Run commands whose answers matter only if they are errors."""
        for answer in self._connections.run_all(commands, retry=retry):
            if isinstance(answer, redis.RedisError):
                raise self._connections.refusal(answer)

    def _name(self, key: str) -> str:
        """Return the key in Redis.

        Raises:
            ValueError: it is not a cache key.
        """
        return f"{self._prefix}:{self._check_key(key)}"

    @staticmethod
    def _check_key(text: str) -> str:
        if not text or len(text) > 200 or _CONTROL.search(text):
            raise ValueError(
                f"a cache key has 1 to 200 characters and no control characters, not {text!r}"
            )
        return text


def _set_command(name: str, value: bytes, expiry: int | None) -> tuple[Any, ...]:
    """Return the command that stores a value."""
    if expiry is None:
        return ("SET", name, value)
    return ("SET", name, value, "PX", expiry)


def _milliseconds(ttl: float | None) -> int | None:
    """Return a time to live in milliseconds; None is for ever.

    Raises:
        ValueError: it is not a positive number.
    """
    if ttl is None:
        return None
    if not ttl > 0:  # also refuses NaN
        raise ValueError(f"a time to live must be positive, not {ttl}")
    return None if ttl * 1000 >= _FOREVER_MS else math.ceil(ttl * 1000)
