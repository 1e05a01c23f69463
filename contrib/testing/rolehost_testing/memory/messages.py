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
    """A message that waits; the lowest priority comes first, then the one put first.

    Attributes:
        priority: see :func:`rolehost.storage.queue.message_priority`.
        number: its own; the order of putting.
        due: milliseconds since the epoch.
        data: its bytes.
        crashes: how many processes died running it; None: none died that held it.
    """

    priority: int
    number: int
    due: int
    data: bytes
    crashes: int | None = None


def wake_name(queue: str) -> str:
    """Name what is woken when a message comes to a queue."""
    return f"messages:{queue}"


class Messages:
    """The queues of a world; thread-safe.

    Args:
        clock: when delayed messages are due.
        wakes: wakes consumers.
    """

    def __init__(self, clock: Clock, wakes: Wakes) -> None:
        self.clock = clock
        self.wakes = wakes
        self._guard = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[str, list[Waiting]] = {}
        #: Those that are not due yet, by the time at which they are.
        self._delayed: dict[str, list[tuple[int, Waiting]]] = {}
        self._taken: dict[str, dict[int, Waiting]] = {}
        self._started: set[int] = set()
        self._dead: dict[int, DeadMessage] = {}

    def put(self, queue: str, data: bytes, delay: float) -> None:
        """Let a message be taken after ``delay`` milliseconds."""
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
        """Take the next message that is due; None without one."""
        with self._guard:
            heap = self._promote(queue)
            if not heap:
                return None
            message = heapq.heappop(heap)
            self._taken.setdefault(queue, {})[message.number] = message
            return message

    def next_due(self, queue: str) -> int | None:
        """Return when the next message is due, milliseconds; None without one."""
        with self._guard:
            heap, delayed = self._promote(queue), self._delayed.get(queue)
            if heap:
                return min(message.due for message in heap)
            return delayed[0][0] if delayed else None

    def start(self, queue: str, number: int) -> bool:
        """Record that a suspect runs from now on; False: it is not taken."""
        with self._guard:
            self._started.add(number)
            return number in self._taken.get(queue, {})

    def finish(self, queue: str, number: int) -> None:
        """Forget a message that was taken."""
        with self._guard:
            self._let_go(queue, number)

    def give_back(self, queue: str, number: int, *, died: bool = False) -> None:
        """Let a message that was taken be taken again.

        Args:
            queue: its queue.
            number: its own.
            died: its holder did: the message is suspect from now on, and charged with a crash
                when its start had been recorded.
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

    def bury(self, queue: str, message: Waiting, reason: str) -> None:
        """Give a message up that was taken."""
        with self._guard:
            self._let_go(queue, message.number)
            number = next(self._numbers)
            self._dead[number] = DeadMessage(number, queue, reason, self.clock.now(), message.data)

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Return how many messages wait; with ``taken`` those too that run."""
        with self._guard:
            running = len(self._taken.get(queue, ())) if taken else 0
            waiting = len(self._waiting.get(queue, ())) + len(self._delayed.get(queue, ()))
            return waiting + running

    def clear(self, queue: str | None = None) -> None:
        """Drop the waiting messages of a queue; None: of all."""
        with self._guard:
            for name in list(self._waiting) if queue is None else [queue]:
                self._waiting.pop(name, None)
                self._delayed.pop(name, None)

    def dead(self, limit: int) -> list[DeadMessage]:
        """Return messages that were given up, newest first."""
        with self._guard:
            return sorted(self._dead.values(), reverse=True)[:limit]

    def count_dead(self) -> int:
        """Return how many messages were given up."""
        with self._guard:
            return len(self._dead)

    def dead_one(self, number: int) -> DeadMessage | None:
        """Return one of them; None when there is none of that number."""
        with self._guard:
            return self._dead.get(number)

    def revive(self, letter: DeadMessage, data: bytes) -> bool:
        """Let one be taken again, with these bytes; say whether it was there."""
        if not self.forget(letter.number):
            return False
        self.put(letter.queue, data, 0.0)
        return True

    def forget(self, number: int) -> bool:
        """Delete one of them; say whether it was there."""
        with self._guard:
            return self._dead.pop(number, None) is not None
