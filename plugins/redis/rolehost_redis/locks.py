"""Locks in Redis, with tokens that only rise.

A lock is one key that holds the token of its lease and ends by itself. The token is the server's
time in microseconds, or the last token plus one if that is greater. So it rises even if Redis was
emptied, unless the server's clock is set back at the same time.
"""

from __future__ import annotations

from rolehost.api import Lease

from rolehost_redis.connections import Connections, Script

# KEYS: lock, last token. ARGV: milliseconds. The last token is kept a day longer than the lock.
_LOCK = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local token = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[2], token, 'PX', string.format('%.0f', ARGV[1] + 86400000))
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
""")

# KEYS: lock. ARGV: token, milliseconds.
_RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

# KEYS: lock. ARGV: token.
_RELEASE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")


class Locks:
    """The locks of a namespace. Thread-safe.

    Args:
        connections: to the server.
        prefix: the beginning of their keys.
    """

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._prefix = prefix

    def lock(self, name: str, milliseconds: int) -> Lease | None:
        """See :meth:`rolehost.api.Cache.lock`."""
        keys = [f"{self._prefix}{name}", f"{self._prefix}{name}\n"]  # no name has a line break
        token = self._connections.run_script(_LOCK, keys, milliseconds)
        return None if token is None else Lease(name, int(token))

    def renew(self, lease: Lease, milliseconds: int) -> bool:
        """See :meth:`rolehost.api.Cache.renew`."""
        keys = [self._prefix + lease.name]
        return bool(self._connections.run_script(_RENEW, keys, lease.token, milliseconds))

    def release(self, lease: Lease) -> bool:
        """See :meth:`rolehost.api.Cache.release`."""
        keys = [self._prefix + lease.name]
        return bool(self._connections.run_script(_RELEASE, keys, lease.token))
