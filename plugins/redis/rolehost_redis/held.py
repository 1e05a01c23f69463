"""The messages of a queue that one process holds: its lease, and changes not sent to Redis yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from rolehost.api import StorageError

from rolehost_redis.messages import MessageStore, TakenMessage

#: Maximum number of finished messages, and of returned ones, in one exchange.
_MOST = 1000


class SteadyConnection:
    """Measures for how long this process has reached Redis without a gap.

    After an outage of Redis, or of this process, all leases have ended, although no process died.
    So only a process that has reached Redis for as long as a lease may take messages of others.

    Args:
        lease: seconds.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._since: float | None = None
        self._last = 0.0

    def record_success(self) -> None:
        """Record that Redis answered."""
        now = self._clock()
        if self._since is None or now - self._last > self._lease:
            self._since = now
        self._last = now

    def record_failure(self) -> None:
        """Record that Redis did not answer."""
        self._since = None

    def lasts(self) -> bool:
        """Return whether Redis was reached without a gap for a whole lease."""
        now = self._clock()
        return (
            self._since is not None
            and now - self._last <= self._lease
            and now - self._since >= self._lease
        )


class HeldMessages:
    """The messages of one queue that this process holds. Thread-safe.

    Args:
        store: the messages.
        queue: name of the queue.
        owner: this process.
        steady: shared by the queues of this process.
    """

    def __init__(
        self, store: MessageStore, queue: str, owner: str, steady: SteadyConnection
    ) -> None:
        self._store = store
        self._queue = queue
        self._owner = owner
        self._steady = steady
        self._done: list[bytes] = []
        self._returned: list[bytes] = []
        # Numbers of calls are greater than those of an earlier broker of this process.
        self._calls = time.monotonic_ns() // 1000
        self._guard = threading.Lock()
        self._exchanging = threading.Lock()
        #: How often the lease has ended; messages that were taken before belong to others.
        self.lease_losses = 0

    def __str__(self) -> str:
        return f"queue {self._queue}"

    @property
    def has_changes(self) -> bool:
        """Whether there are changes to send."""
        return bool(self._done or self._returned)

    def finish(self, number: bytes) -> bool:
        """Record a message that is done; return True for the first since the last exchange."""
        with self._guard:
            first = not self._done
            self._done.append(number)
        return first

    def give_back(self, numbers: Iterable[bytes]) -> None:
        """Note messages to give back."""
        with self._guard:
            self._returned += numbers

    def exchange(self, most: int) -> tuple[list[TakenMessage], float | None]:
        """Send the changes, renew the lease, and take messages that are due.

        Returns:
            The messages, and the seconds until more may be due; None for no message.

        Raises:
            StorageError: Redis did not answer. The changes are kept. If Redis did take messages,
                the next exchange gives them back.
        """
        with self._exchanging:
            judge = self._steady.lasts()
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
                    self._steady.record_failure()
                raise
            self._steady.record_success()
            if not answer.lasted:
                self.lease_losses += 1
            return answer.taken, answer.due

    def start(self, number: bytes) -> bool:
        """Record that a possible poison message runs; False if another process has it.

        Raises:
            StorageError: Redis did not answer.
        """
        return self._store.start(self._queue, number, self._owner)

    def move_to_dead(self, number: bytes, reason: str) -> None:
        """Make a message a dead message."""
        self._store.move_to_dead(self._queue, number, reason)

    def leave(self) -> None:
        """Send the changes, and give back the rest.

        Raises:
            StorageError: Redis did not answer; the lease ends by itself.
        """
        while self.has_changes:
            self.exchange(0)
        self._store.leave(self._queue, self._owner)
