"""Ephemeral messages in Redis: due times, owners and their leases, and what was rejected.

Delayed messages wait in Redis, so they hold up nobody and outlive everybody. A process has one
lease for all it took of a queue; what one whose lease ended had taken is due again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from rolehost.api import DeadMessage, message_priority

from rolehost_redis import scripts
from rolehost_redis.errors import translated
from rolehost_redis.servers import Place

#: Keys of what a queue's messages and their owners are.
_PARTS = ("messages", "waiting", "taken", "owners", "calls", "crashes", "priorities")


class TakenMessage(NamedTuple):
    """A message that was taken.

    Attributes:
        number: its own within the namespace.
        data: its bytes.
        crashes: how many processes died running it; None: none died that held it.
    """

    number: bytes
    data: bytes
    crashes: int | None


class Exchanged(NamedTuple):
    """What an exchange brought.

    Attributes:
        lasted: the lease held until now; False: what was taken under it went to others.
        due: seconds until more may be due; None when nothing is there.
        taken: the messages, in the order in which they are to run.
    """

    lasted: bool
    due: float | None
    taken: list[TakenMessage]


class MessageStore:
    """The messages of all queues of a namespace. Thread-safe; repeats no command.

    Args:
        place: the server.
        channel: where wake-ups are published.
        presence: channels of the processes begin with it; one subscribes its own, so that all
            know that it lives.
    """

    def __init__(self, place: Place, channel: str, presence: str) -> None:
        settings = place.settings
        self._place = place
        self._channel = channel
        self._presence = presence
        self._namespace = settings.namespace
        self._lease = int(settings.message_lease * 1000)
        self._stall = int(settings.message_stall * 1000)
        self._keep_dead = settings.keep_dead_messages
        self._client = place.client()
        self._wakes: dict[str, bytes] = {}
        self._dead = (f"{self._namespace}:dead", f"{self._namespace}:dead-messages")
        self._put = _Script(self._client, scripts.PUT, keys=4)
        self._exchange = _Script(self._client, scripts.EXCHANGE, keys=7)
        self._start = _Script(self._client, scripts.START, keys=3)
        self._leave = _Script(self._client, scripts.LEAVE, keys=7)
        self._bury = _Script(self._client, scripts.BURY, keys=7)
        self._revive = _Script(self._client, scripts.REVIVE, keys=5)

    def put(self, queue: str, data: bytes, delay: int) -> None:
        """Store a message, due in ``delay`` milliseconds, and wake who waits for it."""
        keys = self._keys(queue, "messages", "waiting")
        keys += [f"{self._namespace}:numbers", *self._keys(queue, "priorities")]
        priority = message_priority(data)
        with translated(self._place):
            self._put(*keys, data, delay, self._channel, self._wake(queue), priority)

    def exchange(
        self,
        queue: str,
        owner: str,
        call: int,
        most: int,
        *,
        done: Sequence[bytes] = (),
        returned: Sequence[bytes] = (),
        judge: bool = False,
    ) -> Exchanged:
        """Renew the owner's lease, give up what is done or returned, and take what is due.

        Args:
            queue: the queue.
            owner: who asks.
            call: greater than those of the owner's earlier calls for this queue.
            most: most messages to take.
            done: numbers to forget.
            returned: numbers that others may have at once; ``#CALL`` means all that the call of
                this number took.
            judge: whether those whose lease ended lose what they took.
        """
        with translated(self._place):
            lasted, due, suspects, *rest = self._exchange(
                *self._keys(queue, *_PARTS),
                owner,
                call,
                self._lease,
                most,
                self._stall if judge else -1,
                self._presence,
                self._channel,
                self._wake(queue),
                len(done),
                *done,
                *returned,
            )
        crashes = dict(zip(suspects[::2], map(int, suspects[1::2]), strict=True))
        taken = [
            TakenMessage(number, data, crashes.get(number))
            for number, data in zip(rest[::2], rest[1::2], strict=True)
        ]
        return Exchanged(bool(lasted), None if due < 0 else due / 1000, taken)

    def start(self, queue: str, number: bytes, owner: str) -> bool:
        """Record that a suspect runs from now on; False: it is no longer the owner's."""
        keys = self._keys(queue, "taken", "waiting")
        with translated(self._place):
            return bool(self._start(*keys, self._dead[0], number, owner))

    def leave(self, queue: str, owner: str) -> None:
        """End an owner's lease; others may have at once what it took."""
        with translated(self._place):
            self._leave(*self._keys(queue, *_PARTS), owner, self._channel, self._wake(queue))

    def bury(self, queue: str, number: bytes, reason: str) -> None:
        """Put a message aside among the dead ones, as it is."""
        header = json.dumps([queue, reason]).encode() + b"\n"
        keys = self._keys(queue, "messages", "waiting", "taken", "crashes")
        with translated(self._place):
            self._bury(
                *keys,
                *self._dead,
                *self._keys(queue, "priorities"),
                number,
                header,
                self._keep_dead,
            )

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Return how many messages wait, delayed ones too; with ``taken`` those as well."""
        waiting, held = self._keys(queue, "waiting", "taken")
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            counts = pipeline.zcard(waiting).hlen(held).execute()
        return int(sum(counts)) if taken else int(counts[0])

    def empty(self, queue: str) -> None:
        """Drop every message of a queue but the dead ones."""
        with translated(self._place):
            parts = ("messages", "waiting", "taken", "crashes", "priorities")
            self._client.unlink(*self._keys(queue, *parts))

    def dead(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""
        with translated(self._place):
            listed = self._client.zrange(self._dead[0], 0, limit - 1, desc=True, withscores=True)
            kept = self._client.hmget(self._dead[1], [n for n, _ in listed]) if listed else []
        return [
            _dead(number, died, data)
            for (number, died), data in zip(listed, kept, strict=True)
            if data is not None
        ]

    def count_dead(self) -> int:
        """Return how many dead messages there are."""
        with translated(self._place):
            count: int = self._client.zcard(self._dead[0])
        return count

    def dead_one(self, number: int) -> DeadMessage | None:
        """Return one dead message; None when there is none of that number."""
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            died, data = (
                pipeline.zscore(self._dead[0], str(number))
                .hget(self._dead[1], str(number))
                .execute()
            )
        return None if died is None or data is None else _dead(b"%d" % number, died, data)

    def revive(self, letter: DeadMessage, data: bytes) -> bool:
        """Let a dead message wait again, with these bytes; say whether it was there."""
        keys = self._keys(letter.queue, "messages", "waiting")
        wake = self._wake(letter.queue)
        with translated(self._place):
            found = self._revive(
                *keys,
                *self._dead,
                *self._keys(letter.queue, "priorities"),
                str(letter.number),
                data,
                self._channel,
                wake,
                message_priority(data),
            )
        return bool(found)

    def forget(self, number: int) -> bool:
        """Delete a dead message; say whether it was there."""
        with translated(self._place), self._client.pipeline(transaction=True) as pipeline:
            pipeline.zrem(self._dead[0], str(number)).hdel(self._dead[1], str(number))
            return bool(pipeline.execute()[0])

    def close(self) -> None:
        """Close connections."""
        self._client.connection_pool.disconnect()

    def _keys(self, queue: str, *parts: str) -> list[str]:
        return [f"{self._namespace}:queue:{queue}:{part}" for part in parts]

    def _wake(self, queue: str) -> bytes:
        wake = self._wakes.get(queue)
        if wake is None:
            wake = self._wakes[queue] = json.dumps([wake_name(queue)]).encode()
        return wake


class _Script:
    """One script, called by its digest; sent again when the server has forgotten it."""

    def __init__(self, client: redis.Redis, text: str, *, keys: int) -> None:
        self._client = client
        self._script = client.register_script(text)
        self._keys = keys

    def __call__(self, *args: object) -> Any:
        try:
            return self._client.evalsha(self._script.sha, self._keys, *args)
        except redis.exceptions.NoScriptError:
            # Nothing of it was run.
            return self._client.eval(self._script.script, self._keys, *args)


def _dead(number: bytes, died: float, kept: bytes) -> DeadMessage:
    header, _, data = kept.partition(b"\n")
    queue, reason = json.loads(header)
    return DeadMessage(number=int(number), queue=queue, reason=reason, died_at=int(died), data=data)


def wake_name(queue: str) -> str:
    """Name the wake-up of a queue's messages."""
    return f"message:{queue}"
