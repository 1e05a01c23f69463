"""Messages of ephemeral actors, in memory."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import NamedTuple

from rolehost.api.services import Clock
from rolehost.storage.queue import DeadMessage, message_priority

from rolehost_testing.memory.wakes import Wakes


class Waiting(NamedTuple):
    """A message that waits; the lowest priority comes first, then the message put first.

    Attributes:
        priority: see :func:`rolehost.storage.queue.message_priority`.
        number: unique; rises with every message.
        due: milliseconds since the epoch.
        data: its bytes.
        crashes: how many processes died while they ran it; None until a process that has taken
            it dies.
    """

    priority: int
    number: int
    due: int
    data: bytes
    crashes: int | None = None


def wake_name(queue: str) -> str:
    """Return the name that wakes the consumers of a queue."""
    return f"messages:{queue}"


class Messages:
    """The queues of a world; thread-safe.

    Args:
        clock: the time at which delayed messages are due.
        wakes: wakes consumers.
    """

    def __init__(self, clock: Clock, wakes: Wakes) -> None:
        self.clock = clock
        self.wakes = wakes
        self._guard = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[str, list[Waiting]] = {}
        #: Delayed messages, with the time at which they are due.
        self._delayed: dict[str, list[tuple[int, Waiting]]] = {}
        self._taken: dict[str, dict[int, Waiting]] = {}
        self._started: set[int] = set()
        self._dead: dict[int, DeadMessage] = {}

    def put(self, queue: str, data: bytes, delay: float) -> None:
        """Add a message that may be taken after ``delay`` milliseconds."""
        with self._guard:
            due = self.clock.now() + int(delay)
            self._add(queue, Waiting(message_priority(data), next(self._numbers), due, data))
        self.wakes.wake([wake_name(queue)])

    def _add(self, queue: str, message: Waiting) -> None:
        delayed = self._delayed.setdefault(queue, [])
        heapq.heappush(delayed, (message.due, message))
        self._promote(queue)

    def _promote(self, queue: str) -> list[Waiting]:
        """Return the messages that are due, as a heap."""
        heap = self._waiting.setdefault(queue, [])
        delayed, now = self._delayed.get(queue, []), self.clock.now()
        while delayed and delayed[0][0] <= now:
            heapq.heappush(heap, heapq.heappop(delayed)[1])
        return heap

    def take(self, queue: str) -> Waiting | None:
        """Take the next message that is due, or return None."""
        with self._guard:
            heap = self._promote(queue)
            if not heap:
                return None
            message = heapq.heappop(heap)
            self._taken.setdefault(queue, {})[message.number] = message
            return message

    def next_due(self, queue: str) -> int | None:
        """Return when the next message is due, in milliseconds, or None."""
        with self._guard:
            heap, delayed = self._promote(queue), self._delayed.get(queue)
            if heap:
                return min(message.due for message in heap)
            return delayed[0][0] if delayed else None

    def start(self, queue: str, number: int) -> bool:
        """Record that a possible poison message runs; False if it is not taken."""
        with self._guard:
            self._started.add(number)
            return number in self._taken.get(queue, {})

    def finish(self, queue: str, number: int) -> None:
        """Delete a message that was taken."""
        with self._guard:
            self._let_go(queue, number)

    def give_back(self, queue: str, number: int, *, died: bool = False) -> None:
        """Return a taken message to the queue.

        Args:
            queue: its queue.
            number: its number.
            died: its process died. The message is a possible poison message from now on. If
                :meth:`start` recorded that it ran, ``crashes`` rises by one.
        """
        with self._guard:
            started = number in self._started
            message = self._let_go(queue, number)
            if message is not None:
                if died:
                    message = message._replace(crashes=(message.crashes or 0) + started)
                self._add(queue, message)
        self.wakes.wake([wake_name(queue)])

    def _let_go(self, queue: str, number: int) -> Waiting | None:
        self._started.discard(number)
        return self._taken.get(queue, {}).pop(number, None)

    def move_to_dead(self, queue: str, message: Waiting, reason: str) -> None:
        """Make a message that was taken a dead message."""
        with self._guard:
            self._let_go(queue, message.number)
            number = next(self._numbers)
            self._dead[number] = DeadMessage(number, queue, reason, self.clock.now(), message.data)

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Return how many messages wait; with ``taken``, also those that run."""
        with self._guard:
            running = len(self._taken.get(queue, ())) if taken else 0
            waiting = len(self._waiting.get(queue, ())) + len(self._delayed.get(queue, ()))
            return waiting + running

    def clear(self, queue: str | None = None) -> None:
        """Delete the waiting messages of a queue; None: of all queues."""
        with self._guard:
            for name in list(self._waiting) if queue is None else [queue]:
                self._waiting.pop(name, None)
                self._delayed.pop(name, None)

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""
        with self._guard:
            return sorted(self._dead.values(), reverse=True)[:limit]

    def count_dead_messages(self) -> int:
        """Return how many dead messages there are."""
        with self._guard:
            return len(self._dead)

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return the dead message of this number, or None."""
        with self._guard:
            return self._dead.get(number)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Put a dead message into its queue again, with new bytes; return whether it was there."""
        if not self.discard_message(letter.number):
            return False
        self.put(letter.queue, data, 0.0)
        return True

    def discard_message(self, number: int) -> bool:
        """Delete a dead message; return whether it was there."""
        with self._guard:
            return self._dead.pop(number, None) is not None
