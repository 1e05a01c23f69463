"""Entries by tag, in Redis.

Each tag has a sorted set of its entries by the time of their end, so that expired entries can be
removed. Each tagged entry has a set of its tags, which expires with the entry; :meth:`Tags.touch`
reads it to change the end of the entry in the sets of its tags. Every change is one script.
"""

from __future__ import annotations

from collections.abc import Collection

from rolehost_redis.connections import Connections, Script

# Writes the end of an entry, '' for never, into the set of one of its tags.
_ENTER = """
local function enter(tag, entry, span, now)
  redis.call('ZADD', tag, span == '' and '+inf' or string.format('%.0f', now + span), entry)
  redis.call('ZREMRANGEBYSCORE', tag, '-inf', now)
  local last = redis.call('ZRANGE', tag, -1, -1, 'WITHSCORES')[2]
  if not last then return end
  if last == 'inf' then redis.call('PERSIST', tag) else redis.call('PEXPIREAT', tag, last) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: entry, its tags. ARGV: value, milliseconds or '', prefix of tags, tags.
_SET = Script(f"""{_ENTER}
redis.call('SET', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2])
for place = 4, #ARGV do
  redis.call('SADD', KEYS[2], ARGV[place])
  enter(ARGV[3] .. ARGV[place], KEYS[1], ARGV[2], now)
end
if ARGV[2] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
""")

# KEYS: entry, its tags. ARGV: milliseconds or '', prefix of tags.
_TOUCH = Script(f"""{_ENTER}
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, key in ipairs(KEYS) do
  if ARGV[1] == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ARGV[1]) end
end
for _, tag in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  enter(ARGV[2] .. tag, KEYS[1], ARGV[1], now)
end
return 1
""")

# KEYS: sets of tags.
_DROP = Script("""
local dropped = 0
for _, tag in ipairs(KEYS) do
  for _, entry in ipairs(redis.call('ZRANGE', tag, 0, -1)) do
    dropped = dropped + redis.call('UNLINK', entry)
  end
  redis.call('UNLINK', tag)
end
return dropped
""")


class Tags:
    """The tags of a namespace's cache. Thread-safe.

    Args:
        connections: to the server.
        prefix: the beginning of their keys.
    """

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._entry = f"{prefix}:"
        self._of_entry = f"{prefix}-tags:"
        self._tag = f"{prefix}-tag:"

    def store(self, key: str, value: bytes, tags: Collection[str], expiry: int | None) -> None:
        """Store an entry with its tags; ``expiry`` in milliseconds."""
        span = "" if expiry is None else expiry
        self._connections.run_script(_SET, self._keys(key), value, span, self._tag, *tags)

    def touch(self, key: str, expiry: int | None) -> bool:
        """Set the time to live of an entry, tagged or not, from now on; False if it is missing."""
        span = "" if expiry is None else expiry
        return bool(self._connections.run_script(_TOUCH, self._keys(key), span, self._tag))

    def drop(self, tags: Collection[str]) -> int:
        """Delete every entry of these tags; return how many there were."""
        if not tags:
            return 0
        return int(self._connections.run_script(_DROP, [self._tag + tag for tag in tags]))

    def _keys(self, key: str) -> list[str]:
        return [self._entry + key, self._of_entry + key]
