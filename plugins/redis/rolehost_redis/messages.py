"""Ephemeral messages in Redis: due times, leases, and what was rejected.

Of each queue there are a hash of messages by number, a sorted set of those that wait by the
time they are due, and one of those that are taken by the end of their lease. Delayed messages
wait in Redis, so they hold up nobody and outlive everybody; a taken one whose lease ended is
due again. Every change is one script, so it happens as a whole or not at all, and all times
are the server's, so that clocks of machines do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from rolehost_redis.errors import translated
from rolehost_redis.servers import Place

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: messages, waiting, numbers. ARGV: data, delay, channel, wake-up.
_PUT = f"""{_NOW}
-- With the time in it no number comes twice, not even after Redis was emptied.
local number = string.format('%013d%06d', now, redis.call('INCR', KEYS[3]) % 1000000)
redis.call('HSET', KEYS[1], number, ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), number)
redis.call('PUBLISH', ARGV[3], ARGV[4])
"""

# KEYS: messages, waiting, taken. ARGV: most, lease.
# Returns milliseconds until something is due (-1: nothing is there), then numbers and data.
_TAKE = f"""{_NOW}
local function scores(first) return first[2] and tonumber(first[2]) end
local ended = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
for _, number in ipairs(ended) do
  redis.call('ZREM', KEYS[3], number)
  redis.call('ZADD', KEYS[2], now, number)
end
local answer = {{-1}}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', KEYS[2], number)
  local data = redis.call('HGET', KEYS[1], number)
  if data then
    redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[2]), number)
    answer[#answer + 1] = number
    answer[#answer + 1] = data
  end
end
local due = scores(redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES'))
local back = scores(redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES'))
if back and (not due or back < due) then due = back end
if due then answer[1] = math.max(0, due - now) end
return answer
"""

# KEYS: taken. ARGV: lease, numbers.
_RENEW = f"""{_NOW}
for place = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', now + ARGV[1]), ARGV[place])
end
"""

# KEYS: waiting, taken. ARGV: channel, wake-up, numbers.
_GIVE_BACK = f"""{_NOW}
for place = 3, #ARGV do
  if redis.call('ZREM', KEYS[2], ARGV[place]) == 1 then
    redis.call('ZADD', KEYS[1], now, ARGV[place])
  end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
"""

# KEYS: messages, waiting, taken, dead. ARGV: number, most to keep.
_BURY = """
local data = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if data then
  redis.call('LPUSH', KEYS[4], data)
  redis.call('LTRIM', KEYS[4], 0, ARGV[2] - 1)
end
"""


class Taken(NamedTuple):
    """A message that was taken; its number within the queue, and its bytes."""

    number: bytes
    data: bytes


class MessageStore:
    """The messages of all queues of a namespace. Thread-safe; repeats no command.

    Args:
        place: the server.
        channel: where wake-ups are published.
    """

    def __init__(self, place: Place, channel: str) -> None:
        self._place = place
        self._channel = channel
        self._namespace = place.settings.namespace
        self._lease = int(place.settings.message_lease * 1000)
        self._keep_dead = place.settings.keep_dead_messages
        self._client = place.client()
        script = self._client.register_script
        self._put, self._take, self._bury = script(_PUT), script(_TAKE), script(_BURY)
        self._renew, self._give_back = script(_RENEW), script(_GIVE_BACK)

    def put(self, queue: str, data: bytes, delay: int) -> None:
        """Store a message, due in ``delay`` milliseconds, and wake who waits for it."""
        keys = self._keys(queue, "messages", "waiting", "numbers")
        self._run(self._put, keys, data, delay, self._channel, _wake(queue))

    def take(self, queue: str, most: int) -> tuple[list[Taken], float | None]:
        """Take what is due, at most so many, oldest first.

        Returns:
            The messages, and in how many seconds more may be due; None when nothing is there.
        """
        keys = self._keys(queue, "messages", "waiting", "taken")
        due, *rest = self._run(self._take, keys, most, self._lease)
        taken = [Taken(*pair) for pair in zip(rest[::2], rest[1::2], strict=True)]
        return taken, None if due < 0 else due / 1000

    def renew(self, queue: str, numbers: Iterable[bytes]) -> None:
        """Begin the leases of these anew."""
        self._run(self._renew, self._keys(queue, "taken"), self._lease, *numbers)

    def give_back(self, queue: str, numbers: Iterable[bytes]) -> None:
        """Let others have these at once."""
        keys = self._keys(queue, "waiting", "taken")
        self._run(self._give_back, keys, self._channel, _wake(queue), *numbers)

    def remove(self, queue: str, number: bytes) -> None:
        """Forget a message that is done, wherever it is by now."""
        messages, waiting, taken = self._keys(queue, "messages", "waiting", "taken")
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hdel(messages, number).zrem(taken, number).zrem(waiting, number).execute()

    def bury(self, queue: str, number: bytes) -> None:
        """Put a message aside among the dead ones of its queue, as it is."""
        keys = self._keys(queue, "messages", "waiting", "taken", "dead")
        self._run(self._bury, keys, number, self._keep_dead)

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Return how many messages wait, delayed ones too; with ``taken`` those as well."""
        waiting, held = self._keys(queue, "waiting", "taken")
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            counts = pipeline.zcard(waiting).zcard(held).execute()
        return int(sum(counts)) if taken else int(counts[0])

    def empty(self, queue: str) -> None:
        """Drop every message of a queue but the dead ones."""
        with translated(self._place):
            self._client.unlink(*self._keys(queue, "messages", "waiting", "taken"))

    def close(self) -> None:
        """Close connections."""
        self._client.connection_pool.disconnect()

    def _keys(self, queue: str, *parts: str) -> list[str]:
        return [f"{self._namespace}:queue:{queue}:{part}" for part in parts]

    def _run(self, script: Any, keys: list[str], *args: Any) -> Any:
        with translated(self._place):
            return script(keys, args)


def wake_name(queue: str) -> str:
    """Name the wake-up of a queue's messages."""
    return f"message:{queue}"


def _wake(queue: str) -> bytes:
    return json.dumps([wake_name(queue)]).encode()
