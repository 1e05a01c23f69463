"""Base class for the Dramatiq broker of a ``queue`` backend.

This is a separate module, so that a host without Dramatiq does not import it.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout, QueueNotFound

from rolehost.errors import StorageError

#: Maximum length of the reason that is stored with a dead message, characters.
_REASON_LENGTH = 500
#: Limit of messages beyond Dramatiq's prefetch: seconds of work at the current rate.
_SECONDS_AHEAD = 0.05
#: Limit of messages beyond Dramatiq's prefetch: number of messages.
_MESSAGES_AHEAD = 128


class MessageBroker(dramatiq.Broker):
    """A broker for ephemeral messages, without middleware, without queues for delayed messages."""

    def __init__(self) -> None:
        super().__init__(middleware=[])

    @abstractmethod
    def put(self, queue_name: str, data: bytes, delay: int) -> None:
        """Store a message that may be taken after ``delay`` milliseconds, and wake a consumer."""

    @abstractmethod
    def open_consumer(self, queue_name: str, prefetch: int, timeout: float) -> Consumer:
        """Return a consumer; ``timeout`` is in seconds."""

    @abstractmethod
    def unfinished(self, queue_name: str) -> int:
        """Return the number of messages of a queue that wait or run."""

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Store a message that may be taken after ``delay`` milliseconds.

        Raises:
            ConnectionClosed: the server did not answer. The message was stored once or not at all.
        """
        self.emit_before("enqueue", message, delay)
        try:
            self.put(message.queue_name, message.encode(), delay or 0)
        except StorageError as error:
            raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        """Return a consumer of a declared queue; ``timeout`` is in milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        return self.open_consumer(queue_name, prefetch, timeout / 1000)

    def flush_all(self) -> None:
        """Delete the waiting messages of all declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Wait until no message of a queue waits or runs; for tests.

        Args:
            queue_name: the queue.
            interval: milliseconds between two checks.
            timeout: milliseconds; None: no limit.

        Raises:
            QueueJoinTimeout: the timeout has passed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while self.unfinished(queue_name):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            time.sleep(interval / 1000)


class Prefetch:
    """The number of messages that a consumer takes at once.

    The number is Dramatiq's prefetch, or higher if messages are fast. Slow messages are not taken
    ahead, because another process may be idle and could run them.

    Args:
        limit: maximum number of messages that Dramatiq holds at the same time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._finished = 0
        self._since = 0.0

    def finished(self) -> None:
        """Count a finished message."""
        self._finished += 1

    def wanted(self, running: int) -> int:
        """Return the number of messages to take now; it depends on the rate since the last call."""
        room, now = self.limit - running, time.monotonic()
        pace = self._finished / max(now - self._since, 1e-3)
        self._since, self._finished = now, 0
        return (
            room if self.limit == 1 else max(room, min(int(pace * _SECONDS_AHEAD), _MESSAGES_AHEAD))
        )


def rejection(message: MessageProxy) -> str:
    """Return the reason that is stored with a rejected message."""
    error: BaseException | None = getattr(message, "_exception", None)
    return shortened("rejected" if error is None else f"{type(error).__name__}: {error}")


def shortened(reason: str) -> str:
    """Return the part of a reason that is stored with a dead message."""
    return reason[:_REASON_LENGTH]
