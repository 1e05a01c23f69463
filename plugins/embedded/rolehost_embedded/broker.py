"""A Dramatiq broker over a SQLite file, for ephemeral actors.

Delayed messages stay in the table until they are due, so they wait in nobody's memory and
behind nobody. Messages are taken and acknowledged in batches; those of a process that died
come back when its lease ends.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout, QueueNotFound
from rolehost.api import StorageError, StorageUnavailable

from rolehost_embedded.messages import MessageStore
from rolehost_embedded.wakes import WakeListener, Wakes

#: Most messages taken in one transaction, ahead of what Dramatiq prefetches.
_BATCH = 128
#: Seconds an acknowledgement may wait for others to go with it, while messages run.
_GATHER = 0.02


class EmbeddedBroker(dramatiq.Broker):
    """Carries messages among the processes of one machine.

    Args:
        store: the messages.
        wakes: wakes consumers.
        lease: seconds after which a process that does not renew has lost what it took.
    """

    def __init__(self, store: MessageStore, wakes: Wakes, *, lease: float) -> None:
        super().__init__(middleware=[])
        self.store = store
        self.wakes = wakes
        self.owner = uuid.uuid4().hex
        self.finished = Finished()
        self._keeper = _Keeper(self, lease)
        self._closed = False

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; there is no separate one for delayed messages."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: dramatiq.Message, *, delay: int | None = None) -> dramatiq.Message:
        """Store a message, to be taken after ``delay`` milliseconds.

        Raises:
            ConnectionClosed: the file cannot be written to.
        """
        self.emit_before("enqueue", message, delay)
        try:
            self.store.put(message.queue_name, message.encode(), delay or 0)
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error
        self.wakes.wake((wake_name(message.queue_name),))
        self.emit_after("enqueue", message, delay)
        return message

    def consume(
        self, queue_name: str, prefetch: int = 1, timeout: int = 30_000
    ) -> EmbeddedConsumer:
        """Return a consumer of a declared queue; ``timeout`` is in milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self.ensure_lease()
        return EmbeddedConsumer(self, queue_name, prefetch, timeout / 1000)

    def ensure_lease(self) -> bool:
        """Have a lease; True when there was none, so that others may have what was taken."""
        return self._keeper.ensure()

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self.store.empty(queue_name)

    def flush_all(self) -> None:
        """Drop the waiting messages of all declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Wait until a queue has neither waiting nor running messages; for tests.

        Args:
            queue_name: the queue.
            interval: milliseconds between looks.
            timeout: milliseconds; None waits for ever.

        Raises:
            QueueJoinTimeout: it took longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while self.store.depth(queue_name, taken=True):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)
            time.sleep(interval / 1000)

    def close(self) -> None:
        """Give back what this process had taken. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._keeper.stop()
        with contextlib.suppress(StorageError):
            self.store.exchange("", self.owner, 0, self.finished.take())
            self.store.leave(self.owner)
            self.wakes.wake([wake_name(queue_name) for queue_name in self.queues])


class Finished:
    """Acknowledged messages that are not removed yet. Thread-safe."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._guard = threading.Lock()

    def add(self, ids: Iterable[int]) -> bool:
        """Note acknowledged messages; True when they are the first since :meth:`take`."""
        with self._guard:
            first = not self._ids
            self._ids.extend(ids)
        return first

    def take(self) -> list[int]:
        """Return what was noted since the last call."""
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
        self._timeout = timeout
        self._ready: deque[_Proxy] = deque()
        self._running: set[int] = set()
        self._due: int | None = None
        self._waiting = False
        self._listener: WakeListener = broker.wakes.listen((wake_name(queue_name),))

    def __next__(self) -> MessageProxy | None:
        try:
            return self._next()
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error

    def _next(self) -> MessageProxy | None:
        deadline = time.monotonic() + self._timeout
        while True:
            if self._broker.ensure_lease():
                self._ready.clear()  # others have these now
            if self._ready and len(self._running) < self._prefetch:
                message = self._ready.popleft()
                self._running.add(message.row)
                return message
            if not self._ready and self._fill():
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                self._flush()
                return None
            self._wait(left)

    def _fill(self) -> bool:
        """Take a batch when something is due; True when there is something to hand out."""
        store = self._broker.store
        due = store.next_due(self._queue)
        self._due = due
        if due is None or due > store.clock():
            if not self._running:
                self._flush()
            return False
        finished = self._broker.finished.take()
        try:
            taken = store.exchange(self._queue, self._broker.owner, _BATCH, finished)
        except BaseException:
            self._broker.finished.add(finished)
            raise
        undecodable = []
        for row in taken:
            try:
                self._ready.append(_Proxy(row.id, dramatiq.Message.decode(row.data)))
            except dramatiq.DecodeError:
                undecodable.append(row.id)
        if undecodable:
            store.bury(undecodable, self._broker.owner, "undecodable")
        return bool(taken)

    def _wait(self, left: float) -> None:
        """Wait for a wake-up, a free place, or the time at which something is due."""
        if not self._ready and self._due is not None:
            left = min(left, (self._due - self._broker.store.clock()) / 1000)
        if self._broker.finished:
            left = min(left, _GATHER)
        self._waiting = True
        try:
            if self._ready and len(self._running) < self._prefetch:
                return  # an acknowledgement came before it could see us wait
            woken = self._listener.wait(max(left, 0.001))
        finally:
            self._waiting = False
        if not woken and self._broker.finished:
            self._flush()

    def _flush(self) -> None:
        finished = self._broker.finished.take()
        if finished:
            try:
                self._broker.store.exchange(self._queue, self._broker.owner, 0, finished)
            except BaseException:
                self._broker.finished.add(finished)
                raise

    def ack(self, message: MessageProxy) -> None:
        """Note that a message is done; the row goes with the next transaction."""
        first = self._broker.finished.add((message.row,))
        self._running.discard(message.row)
        if self._waiting and (first or self._ready):
            self._listener.interrupt()

    def nack(self, message: MessageProxy) -> None:
        """Keep a rejected message among the dead ones."""
        exception = message._exception
        reason = type(exception).__name__ if exception is not None else "rejected"
        try:
            self._broker.store.bury((message.row,), self._broker.owner, reason)
        except StorageUnavailable as error:
            raise ConnectionClosed(error) from error
        self._running.discard(message.row)
        if self._waiting:
            self._listener.interrupt()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back that were not run."""
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
        """Give back what was not handed out."""
        self._listener.close()
        ready, self._ready = list(self._ready), deque()
        self.requeue(ready)
        with contextlib.suppress(StorageError):
            self._flush()


class _Proxy(MessageProxy):
    """A message and its row."""

    def __init__(self, row: int, message: dramatiq.Message) -> None:
        super().__init__(message)
        self.row = row


class _Keeper:
    """A thread that renews this process's lease and returns what dead processes had taken."""

    def __init__(self, broker: EmbeddedBroker, lease: float) -> None:
        self._broker = broker
        self._lease = lease
        self._renewed = float("-inf")
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure(self) -> bool:
        """See :meth:`EmbeddedBroker.ensure_lease`; the first call starts the thread."""
        if time.monotonic() - self._renewed < self._lease:
            return False
        with self._guard:
            if time.monotonic() - self._renewed >= self._lease:
                self._renew()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="rolehost-message-lease", daemon=True
                )
                self._thread.start()
        return True

    def stop(self) -> None:
        """Stop renewing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._lease / 3):
            # After a freeze the lease may be over: then ensure() has to tell the consumers.
            if time.monotonic() - self._renewed < self._lease:
                with contextlib.suppress(StorageUnavailable):
                    self._renew()

    def _renew(self) -> None:
        before = time.monotonic()
        queues = self._broker.store.renew(self._broker.owner, int(self._lease * 1000))
        self._renewed = before
        self._broker.wakes.wake([wake_name(queue) for queue in queues])


def wake_name(queue_name: str) -> str:
    """Return the name that wakes the consumers of a queue's messages."""
    return f"messages:{queue_name}"
