"""The time limits of the jobs and messages that a worker's threads run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

from dramatiq.middleware import TimeLimit

from rolehost.delivery.jobs import ClaimedJob


class TimeLimits:
    """The time limits of the threads of a worker; thread-safe.

    ``limits``: actor → its time limit in milliseconds, or infinity. Dramatiq's ``middleware``
    raises an exception in a thread whose time limit has passed. The thread gets it when it runs
    Python code again, so code in C delays it.
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self.middleware: Any = TimeLimit()
        self._limits = limits
        #: Thread → the end of its time limit (:func:`time.perf_counter`), and its durable job.
        self._busy: dict[int, tuple[float, ClaimedJob | None]] = {}
        #: Thread → the end of its time limit, and when :meth:`late` first saw that it had passed.
        self._seen: dict[int, tuple[float, float]] = {}

    def begin(self, job: ClaimedJob) -> float:
        """Begin the time limit of the job that this thread runs; return the time."""
        # PERF: called for each job.
        thread = threading.get_ident()
        began = time.perf_counter()
        limit = self._limits[job.actor]
        self._busy[thread] = began + limit / 1000, job
        self.middleware.manager.add_timeout(thread, limit)
        return began

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Begin the time limit of this thread again when the block ends: its job waits in it."""
        thread = threading.get_ident()
        self.middleware.manager.remove_timeout(thread)
        _, job = self._busy[thread]
        assert job is not None  # ephemeral messages do not wait
        self._busy[thread] = inf, job
        yield
        self.begin(job)

    def end(self) -> None:
        """End the time limit of this thread."""
        thread = threading.get_ident()
        self.middleware.manager.remove_timeout(thread)
        self._busy.pop(thread, None)

    def begin_ephemeral(self, actor: str) -> None:
        """Note the time limit of an ephemeral message, which Dramatiq has begun."""
        until = time.perf_counter() + self._limits[actor] / 1000
        self._busy[threading.get_ident()] = until, None

    def end_ephemeral(self) -> None:
        """Forget the time limit of this thread; Dramatiq ends it."""
        self._busy.pop(threading.get_ident(), None)

    @property
    def busy(self) -> int:
        """The number of threads that run something."""
        return len(self._busy)

    def passed(self) -> int:
        """Return the number of threads whose time limits have passed."""
        now = time.perf_counter()
        return sum(until < now for until, _ in list(self._busy.values()))

    def late(self, seconds: float) -> dict[int, ClaimedJob]:
        """Return the durable jobs, by thread, that go on ``seconds`` after their time limits.

        The seconds begin when a call first sees that a limit has passed, because a process that
        was frozen could not interrupt the job before.
        """
        now = time.perf_counter()
        seen, late = self._seen, {}
        self._seen = {}
        for thread, (until, job) in list(self._busy.items()):
            if job is None or until >= now:
                continue
            before = seen.get(thread)
            since = before[1] if before is not None and before[0] == until else now
            self._seen[thread] = until, since
            if now - since >= seconds:
                late[thread] = job
        return late


class Quarantine:
    """The lock of the suspects of a worker; the time limit of a job begins when it has the lock."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._limits.waiting():
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
