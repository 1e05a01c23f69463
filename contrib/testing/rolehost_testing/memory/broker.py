"""A Dramatiq broker over messages in memory, for ephemeral actors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from rolehost.api.broker import MessageBroker, rejection, shortened

from rolehost_testing.memory.messages import Messages, Waiting, wake_name


class MemoryBroker(MessageBroker):
    """Carries messages among the hosts of one world; delayed ones wait in the world."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self._messages = messages

    def put(self, queue_name: str, data: bytes, delay: int) -> None:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        self._messages.put(queue_name, data, delay)

    def open_consumer(self, queue_name: str, prefetch: int, timeout: float) -> MemoryConsumer:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        return MemoryConsumer(self._messages, queue_name, prefetch, timeout)

    def unfinished(self, queue_name: str) -> int:
        """See :class:`rolehost.api.broker.MessageBroker`."""
        return self._messages.depth(queue_name, taken=True)

    def flush(self, queue_name: str) -> None:
        """Drop the waiting messages of a queue."""
        self._messages.clear(queue_name)


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
                self._messages.move_to_dead(self._queue, message, shortened(reason))
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
        """Make a rejected message a dead message."""
        held = self._let_go(message)
        if held is not None:
            self._messages.move_to_dead(self._queue, held, rejection(message))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages that did not run to the queue."""
        for message in messages:
            held = self._let_go(message)
            if held is not None:
                self._messages.give_back(self._queue, held.number)

    def close(self) -> None:
        """Return the held messages to the queue."""
        self._end(died=False)

    def die(self) -> None:
        """End as if its process died: its messages are possible poison messages from now on."""
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
        # There is room for another message.
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
        """Record that the message runs from now on; False if it is no longer taken."""
        return self._start()
