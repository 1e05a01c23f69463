"""What one process holds of a queue: its lease, and what is still to be told to Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from rolehost.api import StorageError

from rolehost_redis.messages import MessageStore, TakenMessage

#: Most numbers of either kind that one exchange tells.
_MOST = 1000


class Steadiness:
    """Knows since when this process has reached Redis without a gap.

    After an outage of Redis, or of this process, the leases of all have ended though nobody
    died. Only who has been in touch for as long as a lease takes may therefore judge others.

    Args:
        lease: seconds.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._since: float | None = None
        self._last = 0.0

    def reached(self) -> None:
        """Note an answer."""
        now = self._clock()
        if self._since is None or now - self._last > self._lease:
            self._since = now
        self._last = now

    def missed(self) -> None:
        """Note that no answer came."""
        self._since = None

    def __bool__(self) -> bool:
        now = self._clock()
        return (
            self._since is not None
            and now - self._last <= self._lease
            and now - self._since >= self._lease
        )


class Holding:
    """This process's part of one queue. Thread-safe.

    Args:
        store: the messages.
        queue: name of the queue.
        owner: this process.
        steady: of this process.
    """

    def __init__(self, store: MessageStore, queue: str, owner: str, steady: Steadiness) -> None:
        self._store = store
        self._queue = queue
        self._owner = owner
        self._steady = steady
        self._done: list[bytes] = []
        self._returned: list[bytes] = []
        # Greater than those of an earlier life of this process's broker.
        self._calls = time.monotonic_ns() // 1000
        self._guard = threading.Lock()
        self._exchanging = threading.Lock()
        #: How often the lease has ended; what was taken before belongs to others.
        self.lives = 0

    def __str__(self) -> str:
        return f"queue {self._queue}"

    @property
    def unsettled(self) -> bool:
        """Whether there is something to be told."""
        return bool(self._done or self._returned)

    def finish(self, number: bytes) -> bool:
        """Note a message that is done; True when it is the first since the last exchange."""
        with self._guard:
            first = not self._done
            self._done.append(number)
        return first

    def give_back(self, numbers: Iterable[bytes]) -> None:
        """Note messages that others may have."""
        with self._guard:
            self._returned += numbers

    def exchange(self, most: int) -> tuple[list[TakenMessage], float | None]:
        """Tell what is to be told, renew the lease, and take messages that are due.

        Returns:
            The messages, and in how many seconds more may be due; None when nothing is there.

        Raises:
            StorageError: Redis did not answer. What was to be told stays so, and what it took
                although nobody heard of it is given back by the next exchange.
        """
        with self._exchanging:
            judge = bool(self._steady)
            self._calls += 1
            with self._guard:
                done, self._done = self._done[:_MOST], self._done[_MOST:]
                returned, self._returned = self._returned[:_MOST], self._returned[_MOST:]
            try:
                answer = self._store.exchange(
                    self._queue,
                    self._owner,
                    self._calls,
                    most,
                    done=done,
                    returned=returned,
                    judge=judge,
                )
            except BaseException as error:
                if most:
                    returned.append(b"#%d" % self._calls)
                with self._guard:
                    self._done[:0] = done
                    self._returned[:0] = returned
                if isinstance(error, StorageError):
                    self._steady.missed()
                raise
            self._steady.reached()
            if not answer.lasted:
                self.lives += 1
            return answer.taken, answer.due

    def start(self, number: bytes) -> bool:
        """Record that a suspect runs from now on; False: others have it.

        Raises:
            StorageError: Redis did not answer.
        """
        return self._store.start(self._queue, number, self._owner)

    def bury(self, number: bytes, reason: str) -> None:
        """Put a message aside among the dead ones."""
        self._store.bury(self._queue, number, reason)

    def leave(self) -> None:
        """Tell what is to be told, and let others have the rest.

        Raises:
            StorageError: Redis did not answer; others have it when the lease ends.
        """
        while self.unsettled:
            self.exchange(0)
        self._store.leave(self._queue, self._owner)
