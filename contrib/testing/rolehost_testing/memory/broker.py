"""A Dramatiq broker over messages in memory, for ephemeral actors."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import QueueJoinTimeout, QueueNotFound

from rolehost_testing.memory.messages import Messages, Waiting, wake_name

#: Most characters of an error that are kept with a dead message.
_REASON = 500


class MemoryBroker(dramatiq.Broker):
    """Carries messages among the hosts of one world; delayed ones wait in nobody's hands."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(middleware=[])
        self._messages = messages

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; there is no separate one for delayed messages."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Let a message be taken after ``delay`` milliseconds."""
        self.emit_before("enqueue", message, delay)
        self._messages.put(message.queue_name, message.encode(), delay or 0)
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> MemoryConsumer:
        """Return a consumer of a declared queue; ``timeout`` is in milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        return MemoryConsumer(self._messages, queue_name, prefetch, timeout / 1000)

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self._messages.clear(queue_name)

    def flush_all(self) -> None:
        """Drop the waiting messages of all declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Wait until a queue has neither waiting nor running messages.

        Args:
            queue_name: the queue.
            interval: milliseconds between looks.
            timeout: milliseconds; None waits for ever.

        Raises:
            QueueJoinTimeout: it took longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while self._messages.depth(queue_name, taken=True):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            time.sleep(interval / 1000)


class MemoryConsumer(Consumer):
    """Hands out the messages of one queue; at most ``prefetch`` at a time."""

    def __init__(self, messages: Messages, queue: str, prefetch: int, timeout: float) -> None:
        self._messages = messages
        self._queue = queue
        self._prefetch = prefetch
        self._timeout = timeout
        self._held: dict[str, list[Waiting]] = {}
        self._count = 0
        self._listener = messages.wakes.listen([wake_name(queue)])

    def __next__(self) -> MessageProxy | None:
        while self._count < self._prefetch:
            message = self._messages.take(self._queue)
            if message is None:
                break
            try:
                decoded = dramatiq.Message.decode(message.data)
            except Exception as error:
                reason = f"cannot be decoded: {type(error).__name__}: {error}"
                self._messages.bury(self._queue, message, reason[:_REASON])
                continue
            proxy = _Proxy(self._messages, self._queue, message, decoded)
            self._held.setdefault(proxy.message_id, []).append(message)
            self._count += 1
            return proxy
        self._wait()
        return None

    def _wait(self) -> None:
        seconds = self._timeout
        due = self._messages.next_due(self._queue)
        if due is not None and self._count < self._prefetch:
            seconds = min(seconds, max(0.0, (due - self._messages.clock.now()) / 1000))
        self._listener.wait(seconds)

    def ack(self, message: MessageProxy) -> None:
        """Forget a message that has run."""
        held = self._let_go(message)
        if held is not None:
            self._messages.finish(self._queue, held.number)

    def nack(self, message: MessageProxy) -> None:
        """Give a message up; it is kept as a dead one."""
        held = self._let_go(message)
        if held is not None:
            error = getattr(message, "_exception", None)
            reason = "rejected" if error is None else f"{type(error).__name__}: {error}"
            self._messages.bury(self._queue, held, reason[:_REASON])

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Let messages that did not run be taken again."""
        for message in messages:
            held = self._let_go(message)
            if held is not None:
                self._messages.give_back(self._queue, held.number)

    def close(self) -> None:
        """Let everything that it holds be taken again."""
        self._end(died=False)

    def die(self) -> None:
        """End as with the death of its process: what it holds is suspect from now on."""
        self._end(died=True)

    def _end(self, *, died: bool) -> None:
        for held in self._held.values():
            for message in held:
                self._messages.give_back(self._queue, message.number, died=died)
        self._held.clear()
        self._listener.close()

    def _let_go(self, message: MessageProxy) -> Waiting | None:
        held = self._held.get(message.message_id)
        if not held:
            return None
        found = held.pop()
        if not held:
            del self._held[message.message_id]
        self._count -= 1
        # Room for another one.
        self._listener.interrupt()
        return found


class _Proxy(MessageProxy):
    """A message, and how many processes died running it."""

    def __init__(
        self, messages: Messages, queue: str, taken: Waiting, message: dramatiq.Message[Any]
    ) -> None:
        super().__init__(message)
        #: See :meth:`rolehost.api.Queue.broker`.
        self.crashes = taken.crashes
        self._start = partial(messages.start, queue, taken.number)

    def start(self) -> bool:
        """Record that it runs from now on; False: it is no longer taken."""
        return self._start()
