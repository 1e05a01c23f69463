"""Hits counted against limits, in Redis.

The generic cell rate algorithm (ITU-T I.371) keeps one number for each name: the time at which
all its hits will be available. Times are the server's, in milliseconds since 14 November 2023, so
that a double still holds fractions of a microsecond.
"""

from __future__ import annotations

from rolehost.api import Quota

from rolehost_redis.connections import Connections, Script

# KEYS: the limit. ARGV: limit, period, cost. A hundredth of an interval is allowed for rounding.
_HIT = Script("""
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000 + time[2] / 1000
local period = tonumber(ARGV[2])
local each = period / ARGV[1]
local full_again = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wanted = full_again + ARGV[3] * each
local over = wanted - now - period
if over > each / 100 then
  return {0, math.floor((now + period - full_again) / each + 0.01), math.ceil(over)}
end
local ends = math.max(1, math.ceil(wanted - now))
redis.call('SET', KEYS[1], string.format('%.17g', wanted), 'PX', ends)
return {1, math.floor((now + period - wanted) / each + 0.01), 0}
""")


class Limits:
    """The limits of a namespace. Thread-safe.

    Args:
        connections: to the server.
        prefix: the beginning of their keys.
    """

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._prefix = prefix

    def hit(self, name: str, limit: int, period: float, cost: int) -> Quota:
        """See :meth:`rolehost.api.Cache.hit`; ``retry_after`` in whole milliseconds."""
        if limit < 1 or not 0 < period < float("inf") or not 1 <= cost <= limit:
            raise ValueError(f"invalid limit: {cost} of {limit} hits in {period} s")
        allowed, remaining, wait = self._connections.run_script(
            _HIT, [self._prefix + name], limit, period * 1000, cost
        )
        return Quota(allowed == 1, max(0, remaining), wait / 1000)
