"""Ephemeral messages in Redis: due times, owners and their leases, and dead messages.

Delayed messages wait in Redis, so they delay no other message and survive every worker. A process
has one lease for all its messages of a queue. If the lease ends, they are due again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from rolehost.api import DeadMessage, message_priority

from rolehost_redis import scripts
from rolehost_redis.errors import translated
from rolehost_redis.servers import Server

#: The keys of a queue's messages and their owners.
_PARTS = ("messages", "waiting", "taken", "owners", "calls", "crashes", "priorities")


class TakenMessage(NamedTuple):
    """A message that was taken.

    Attributes:
        number: unique in the namespace.
        data: its bytes.
        crashes: how many processes died while running it; None if no process that had taken it
            died.
    """

    number: bytes
    data: bytes
    crashes: int | None


class Exchanged(NamedTuple):
    """The result of an exchange.

    Attributes:
        lasted: whether the lease held until now. If not, other processes have its messages.
        due: seconds until more may be due; None for no message.
        taken: the messages, in the order in which they are to run.
    """

    lasted: bool
    due: float | None
    taken: list[TakenMessage]


class MessageStore:
    """The messages of all queues of a namespace. Thread-safe; repeats no command.

    Args:
        server: the server.
        channel: the channel of wake-ups.
        presence: prefix of the channels of processes. A process subscribes to its own channel, so
            that others know that it lives.
    """

    def __init__(self, server: Server, channel: str, presence: str) -> None:
        settings = server.settings
        self._server = server
        self._channel = channel
        self._presence = presence
        self._namespace = settings.namespace
        self._lease = int(settings.message_lease * 1000)
        self._stall = int(settings.message_stall * 1000)
        self._keep_dead = settings.keep_dead_messages
        self._client = server.client()
        self._wakes: dict[str, bytes] = {}
        self._dead = (f"{self._namespace}:dead", f"{self._namespace}:dead-messages")
        self._put = _Script(self._client, scripts.PUT, keys=4)
        self._exchange = _Script(self._client, scripts.EXCHANGE, keys=7)
        self._start = _Script(self._client, scripts.START, keys=3)
        self._leave = _Script(self._client, scripts.LEAVE, keys=7)
        self._move_to_dead = _Script(self._client, scripts.MOVE_TO_DEAD, keys=7)
        self._revive = _Script(self._client, scripts.REVIVE, keys=5)

    def put(self, queue: str, data: bytes, delay: int) -> None:
        """Store a message, due in ``delay`` milliseconds, and wake consumers."""
        keys = self._keys(queue, "messages", "waiting")
        keys += [f"{self._namespace}:numbers", *self._keys(queue, "priorities")]
        priority = message_priority(data)
        with translated(self._server):
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
        """Renew the owner's lease, delete done messages, give back others, and take due ones.

        Args:
            queue: the queue.
            owner: the process.
            call: number of this call, greater than those of the owner's earlier calls for this
                queue.
            most: most messages to take.
            done: numbers of messages to delete.
            returned: numbers of messages to give back; ``#CALL`` means all messages that the call
                of this number took.
            judge: whether processes whose lease has ended lose their messages.
        """
        with translated(self._server):
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
        """Record that a possible poison message runs; False if it is no longer the owner's."""
        keys = self._keys(queue, "taken", "waiting")
        with translated(self._server):
            return bool(self._start(*keys, self._dead[0], number, owner))

    def leave(self, queue: str, owner: str) -> None:
        """End an owner's lease and give back its messages."""
        with translated(self._server):
            self._leave(*self._keys(queue, *_PARTS), owner, self._channel, self._wake(queue))

    def move_to_dead(self, queue: str, number: bytes, reason: str) -> None:
        """Make a message a dead message, unchanged."""
        header = json.dumps([queue, reason]).encode() + b"\n"
        keys = self._keys(queue, "messages", "waiting", "taken", "crashes")
        with translated(self._server):
            self._move_to_dead(
                *keys,
                *self._dead,
                *self._keys(queue, "priorities"),
                number,
                header,
                self._keep_dead,
            )

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Return how many messages wait, with delayed ones; with ``taken``, also those that run."""
        waiting, held = self._keys(queue, "waiting", "taken")
        with translated(self._server), self._client.pipeline(transaction=True) as pipeline:
            counts = pipeline.zcard(waiting).hlen(held).execute()
        return int(sum(counts)) if taken else int(counts[0])

    def empty(self, queue: str) -> None:
        """Delete every message of a queue, except dead ones."""
        with translated(self._server):
            parts = ("messages", "waiting", "taken", "crashes", "priorities")
            self._client.unlink(*self._keys(queue, *parts))

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""
        with translated(self._server):
            listed = self._client.zrange(self._dead[0], 0, limit - 1, desc=True, withscores=True)
            kept = self._client.hmget(self._dead[1], [n for n, _ in listed]) if listed else []
        return [
            _dead(number, died, data)
            for (number, died), data in zip(listed, kept, strict=True)
            if data is not None
        ]

    def count_dead_messages(self) -> int:
        """Return how many dead messages there are."""
        with translated(self._server):
            count: int = self._client.zcard(self._dead[0])
        return count

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return the dead message of this number, or None."""
        with translated(self._server), self._client.pipeline(transaction=True) as pipeline:
            died, data = (
                pipeline.zscore(self._dead[0], str(number))
                .hget(self._dead[1], str(number))
                .execute()
            )
        return None if died is None or data is None else _dead(b"%d" % number, died, data)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Put a dead message into its queue again, with new bytes; return whether it was there."""
        keys = self._keys(letter.queue, "messages", "waiting")
        wake = self._wake(letter.queue)
        with translated(self._server):
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

    def discard_message(self, number: int) -> bool:
        """Delete a dead message; return whether it was there."""
        with translated(self._server), self._client.pipeline(transaction=True) as pipeline:
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
    """A script, called by its digest; sent again if the server does not have it."""

    def __init__(self, client: redis.Redis, text: str, *, keys: int) -> None:
        self._client = client
        self._script = client.register_script(text)
        self._keys = keys

    def __call__(self, *args: object) -> Any:
        try:
            return self._client.evalsha(self._script.sha, self._keys, *args)
        except redis.exceptions.NoScriptError:
            # The script did not run.
            return self._client.eval(self._script.script, self._keys, *args)


def _dead(number: bytes, died: float, kept: bytes) -> DeadMessage:
    header, _, data = kept.partition(b"\n")
    queue, reason = json.loads(header)
    return DeadMessage(number=int(number), queue=queue, reason=reason, died_at=int(died), data=data)


def wake_name(queue: str) -> str:
    """Return the name that wakes the consumers of a queue."""
    return f"message:{queue}"
