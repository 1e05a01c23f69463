"""Hands out the messages of one queue to a Dramatiq worker."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed
from rolehost.api import StorageError, StorageUnavailable
from rolehost.api.broker import Prefetch, rejection

from rolehost_embedded.messages import TakenMessage, wake_name

if TYPE_CHECKING:
    from rolehost_embedded.broker import EmbeddedBroker
    from rolehost_embedded.wakes import WakeListener

#: Seconds after which messages that were taken ahead and not handed out are given back.
_MAX_READY_AGE = 0.2
#: Seconds that an acknowledgement may wait for others, to be written together.
_ACK_DELAY = 0.02


class Finished:
    """Acknowledged messages that are not removed yet. Thread-safe."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._guard = threading.Lock()

    def add(self, ids: Iterable[int]) -> bool:
        """Add acknowledged messages; return True if they are the first since :meth:`take`."""
        with self._guard:
            first = not self._ids
            self._ids.extend(ids)
        return first

    def take(self) -> list[int]:
        """Return the messages that were added since the last call."""
        with self._guard:
            ids, self._ids = self._ids, []
        return ids

    def __bool__(self) -> bool:
        return bool(self._ids)


class EmbeddedConsumer(Consumer):
    """Hands out the messages of one queue. Iterated by one thread, acknowledged by any."""

    def __init__(
        self, broker: EmbeddedBroker, queue_name: str, prefetch: int, timeout: float
    ) -> None:
        self._broker = broker
        self._queue = queue_name
        self._prefetch = prefetch
        self._pace = Prefetch(prefetch)
        self._timeout = timeout
        self._ready: deque[_Proxy] = deque()
        self._running: set[int] = set()
        self._due: int | None = None
        self._waiting = False
        self._stale_at = 0.0
        self._listener: WakeListener = broker.wakes.listen((wake_name(queue_name),))

    def __next__(self) -> MessageProxy | None:
        try:
            return self._next()
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error

    def _next(self) -> MessageProxy | None:
        deadline = time.monotonic() + self._timeout
        while True:
            if self._broker.ensure_lease() or time.monotonic() > self._stale_at:
                # Other processes may have these messages by now; or earlier messages ran for longer
                # than expected, and some with a higher priority may wait. Any process can take
                # messages that are given back.
                self._give_back_ready()
            if self._ready and len(self._running) < self._prefetch:
                message = self._ready.popleft()
                self._running.add(message.row)
                return message
            if not self._ready and len(self._running) < self._prefetch and self._take():
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                self._send_acks()
                return None
            self._wait(left)

    def _give_back_ready(self) -> None:
        if self._ready:
            ready, self._ready = list(self._ready), deque()
            self._broker.store.give_back([each.row for each in ready], self._broker.owner)

    def _take(self) -> bool:
        """Take a batch if messages are due; return whether there is something to hand out."""
        store = self._broker.store
        due = store.next_due(self._queue)
        self._due = due
        if due is None or due > store.clock():
            if not self._running:
                self._send_acks()
            return False
        finished = self._broker.finished.take()
        try:
            taken = store.exchange(
                self._queue, self._broker.owner, self._pace.wanted(len(self._running)), finished
            )
        except BaseException:
            self._broker.finished.add(finished)
            raise
        self._stale_at = time.monotonic() + _MAX_READY_AGE
        undecodable = []
        for row in taken:
            try:
                message = dramatiq.Message.decode(row.data)
                self._ready.append(_Proxy(self._broker, row, message))
            except dramatiq.DecodeError:
                undecodable.append(row.id)
        if undecodable:
            store.move_to_dead(undecodable, self._broker.owner, "undecodable")
        return bool(taken)

    def _wait(self, left: float) -> None:
        """Wait for a wake-up, a free place, or the time at which a message is due."""
        full = len(self._running) >= self._prefetch
        # From here on acknowledgements interrupt the wait; earlier ones are seen below.
        self._waiting = True
        try:
            if not full and self._due is not None and not self._ready:
                left = min(left, (self._due - self._broker.store.clock()) / 1000)
            if self._broker.finished:
                left = min(left, _ACK_DELAY)
            if len(self._running) < self._prefetch and (full or self._ready):
                return
            woken = self._listener.wait(max(left, 0.001))
        finally:
            self._waiting = False
        if not woken and self._broker.finished:
            self._send_acks()

    def _send_acks(self) -> None:
        finished = self._broker.finished.take()
        if finished:
            try:
                self._broker.store.exchange(self._queue, self._broker.owner, 0, finished)
            except BaseException:
                self._broker.finished.add(finished)
                raise

    def ack(self, message: MessageProxy) -> None:
        """Record that a message is done; its row is deleted in the next transaction.

        The row of a possible poison message is deleted at once. Otherwise a later crash of this
        process would count against it.
        """
        first = self._broker.finished.add((message.row,))
        if message.crashes is not None:
            with contextlib.suppress(StorageError):
                self._send_acks()
        self._running.discard(message.row)
        self._pace.finished()
        if self._waiting and (first or self._ready or self._due is not None):
            self._listener.interrupt()

    def nack(self, message: MessageProxy) -> None:
        """Make a rejected message a dead message."""
        try:
            self._broker.store.move_to_dead((message.row,), self._broker.owner, rejection(message))
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error
        self._running.discard(message.row)
        if self._waiting:
            self._listener.interrupt()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back messages that were not run."""
        rows = [message.row for message in messages]
        if not rows:
            return
        try:
            self._broker.store.give_back(rows, self._broker.owner)
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error
        self._running.difference_update(rows)
        self._broker.wakes.wake((wake_name(self._queue),))

    def close(self) -> None:
        """Give back the messages that were not handed out."""
        self._listener.close()
        ready, self._ready = list(self._ready), deque()
        self.requeue(ready)
        with contextlib.suppress(StorageError):
            self._send_acks()


class _Proxy(MessageProxy):
    """A message, its row, and how many processes died running it."""

    def __init__(
        self, broker: EmbeddedBroker, taken: TakenMessage, message: dramatiq.Message[Any]
    ) -> None:
        super().__init__(message)
        self.row = taken.id
        #: See :meth:`rolehost.api.Queue.broker`.
        self.crashes = taken.crashes
        self._broker = broker

    def start(self) -> bool:
        """Record that the message runs from now on; False if another process has it.

        Raises:
            StorageUnavailable: the file cannot be written to.
        """
        return self._broker.store.start(self.row, self._broker.owner)
