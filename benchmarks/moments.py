"""When each job of a program started and ended, in memory shared with the measuring process."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from benchmarks.model import Unmeasured

#: Timeout in seconds for all jobs.
LONGEST = 120.0
#: Polling interval in seconds: short compared with a round, long compared with one poll.
LOOK = 0.005
#: Bytes of a cell, a signed integer.
_CELL = 8


class Moments:
    """A file with two flags, then the start and then the end of each job, in nanoseconds.

    The monotonic clock is the same in all processes. Each job has cells of its own, so that
    greenlets and coroutines may write without a lock.

    Args:
        path: the file; created if missing.
        jobs: the number of jobs, which are numbered from 0.
    """

    def __init__(self, path: Path, jobs: int) -> None:
        size = _CELL * (2 + 2 * jobs)
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(number, size)
            self._cells = memoryview(mmap.mmap(number, size)).cast("q")
        finally:
            os.close(number)
        self._jobs = jobs

    def start(self, job: int) -> None:
        """Record the start of a job."""
        self._cells[2 + job] = time.monotonic_ns()

    def end(self, job: int) -> None:
        """Record the end of a job."""
        self._cells[2 + self._jobs + job] = time.monotonic_ns()

    def await_begin(self) -> None:
        """Say that the process is ready, and wait until the measurement begins."""
        self._cells[0] = 1
        self._await(1, 1)

    def await_ready(self) -> None:
        """Wait until the process is ready.

        Raises:
            Unmeasured: it took too long.
        """
        self._await(0, 1)

    def begin(self) -> None:
        """Let the process begin."""
        self._cells[1] = 1

    def await_ends(self, jobs: range | None = None) -> None:
        """Wait until these jobs, by default all, have ended.

        Raises:
            Unmeasured: it took too long.
        """
        jobs = range(self._jobs) if jobs is None else jobs
        self._await(2 + self._jobs + jobs.start, len(jobs))

    def starts(self, jobs: range) -> list[int]:
        """Return the starts of these jobs, in nanoseconds of the monotonic clock."""
        return list(self._cells[2 + jobs.start : 2 + jobs.stop])

    def ends(self, jobs: range) -> list[int]:
        """Return the ends of these jobs, in nanoseconds of the monotonic clock."""
        first = 2 + self._jobs
        return list(self._cells[first + jobs.start : first + jobs.stop])

    @property
    def first(self) -> int:
        """The start of the first job, in nanoseconds of the monotonic clock."""
        return min(self._cells[2 : 2 + self._jobs])

    @property
    def last(self) -> int:
        """The end of the last job, in nanoseconds of the monotonic clock."""
        return max(self._cells[2 + self._jobs :])

    def _await(self, first: int, cells: int) -> None:
        deadline = time.monotonic() + LONGEST
        while 0 in self._cells[first : first + cells]:
            if time.monotonic() > deadline:
                raise Unmeasured(f"not done in {LONGEST:g} s")
            time.sleep(LOOK)
