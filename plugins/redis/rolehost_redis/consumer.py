"""Hands out the messages of one queue to a Dramatiq worker."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed
from rolehost.api import StorageError

from rolehost_redis.messages import Taken, wake_name

if TYPE_CHECKING:
    from rolehost_redis.broker import RedisBroker

#: Seconds after which a consumer looks although nobody woke it; for wake-ups that Redis refused.
_LONGEST = 10.0


class RedisConsumer(Consumer):
    """Takes no more than ``prefetch`` at once. Iterated by one thread, acknowledged by any.

    Args:
        broker: where it belongs.
        queue_name: the queue.
        prefetch: most messages that are taken and not acknowledged.
        timeout: seconds after which an idle iteration ends.
    """

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: float) -> None:
        self._broker = broker
        self._queue = queue_name
        self._prefetch = prefetch
        self._timeout = timeout
        #: time.monotonic() before which nothing is due unless a wake-up says so.
        self._look_at = 0.0
        self._ready: deque[_Proxy] = deque()
        self._running: set[bytes] = set()
        self._listener = broker.hub.listen((wake_name(queue_name),))

    def __next__(self) -> MessageProxy | None:
        deadline = time.monotonic() + self._timeout
        while True:
            if self._ready:
                message = self._ready.popleft()
                self._running.add(message.number)
                return message
            room = self._prefetch - len(self._running)
            if room > 0 and time.monotonic() >= self._look_at:
                self._fill(room)
                continue
            now = time.monotonic()
            if now >= deadline:
                return None
            # Until a wake-up, a free place (see _done), or the time at which something is due.
            until = min(deadline, self._look_at) if room > 0 else deadline
            if self._listener.wait(max(until - now, 0.001)):
                self._look_at = 0.0

    def _fill(self, room: int) -> None:
        """Take what is due, and note when more may be."""
        try:
            taken, due = self._broker.store.take(self._queue, room)
            for each in taken:
                self._decode(each)
        except StorageError as error:
            raise ConnectionClosed(error) from error
        self._look_at = time.monotonic() + min(_LONGEST if due is None else due, _LONGEST)

    def _decode(self, taken: Taken) -> None:
        """Make a message ready; put it aside when its bytes are none.

        What is not held, because Redis went away, comes back when its lease ends.
        """
        try:
            message = dramatiq.Message.decode(taken.data)
        except Exception:  # whatever the encoder raises for bytes of others
            self._broker.store.bury(self._queue, taken.number)
        else:
            self._broker.hold(self._queue, taken.number)
            self._ready.append(_Proxy(taken.number, message))

    def ack(self, message: MessageProxy) -> None:
        """Remove a message that is done."""
        try:
            self._broker.store.remove(self._queue, message.number)
        except StorageError as error:
            raise ConnectionClosed(error) from error
        self._done(message)

    def nack(self, message: MessageProxy) -> None:
        """Keep a rejected message among the dead ones."""
        try:
            self._broker.store.bury(self._queue, message.number)
        except StorageError as error:
            raise ConnectionClosed(error) from error
        self._done(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back that were not run."""
        given = list(messages)
        if not given:
            return
        for message in given:
            self._done(message)  # first, so that without Redis they come back by their lease
        try:
            self._broker.store.give_back(self._queue, [message.number for message in given])
        except StorageError as error:
            raise ConnectionClosed(error) from error

    def close(self) -> None:
        """Give back what was not handed out."""
        self._listener.close()
        ready, self._ready = list(self._ready), deque()
        with contextlib.suppress(ConnectionClosed):
            self.requeue(ready)

    def _done(self, message: MessageProxy) -> None:
        self._broker.let_go(self._queue, message.number)
        self._running.discard(message.number)
        self._listener.interrupt()


class _Proxy(MessageProxy):
    """A message and its number."""

    def __init__(self, number: bytes, message: dramatiq.Message[Any]) -> None:
        super().__init__(message)
        self.number = number
