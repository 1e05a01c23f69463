"""Count the work of several processes in memory shared with the measuring process."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.model import Unmeasured

#: Maximum number of counting processes, and of counting threads in each.
PROCESSES, THREADS = 16, 32
#: Timeout in seconds for all work.
LONGEST = 120.0
#: Polling interval in seconds: short compared with a round, long compared with one poll.
LOOK = 0.002
#: Bytes of a cell, a signed integer.
_CELL = 8


class _Own(threading.local):
    """State of the calling thread: its cell (0 before it has one) and its count."""

    cell = 0
    counted = 0


class Tally:
    """A file of cells: one start flag, one ready flag for each process, one count for each thread.

    Each thread has its own cell because a shared lock for each job would distort the measurement.

    Args:
        path: the file; created if missing.
        slot: the index of this process, from 0.
    """

    def __init__(self, path: Path, slot: int = 0) -> None:
        size = _CELL * (1 + PROCESSES + PROCESSES * THREADS)
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(number, size)
            # PERF: a poll that unpacked the bytes took 4 % of a processor from the processes.
            self._cells = memoryview(mmap.mmap(number, size)).cast("q")
        finally:
            os.close(number)
        self._slot = slot
        first = 1 + PROCESSES + slot * THREADS
        self._free = iter(range(first, first + THREADS))
        self._own = _Own()

    def count(self, _number: int = 0) -> None:
        """Count one job of this process; any thread may call this."""
        self.count_many(1)

    def count_many(self, jobs: int) -> None:
        """Count several jobs of this process; any thread may call this."""
        own = self._own
        if not own.cell:
            own.cell = next(self._free)
        own.counted += jobs
        self._write(own.cell, own.counted)

    def await_begin(self) -> None:
        """Mark this process as ready and wait for the start flag."""
        self._write(1 + self._slot, 1)
        _await(lambda: self._sum(0, 1) == 1)

    def await_ready(self, processes: int) -> None:
        """Wait until this number of processes is ready.

        Raises:
            Unmeasured: it took too long.
        """
        _await(lambda: self._sum(1, PROCESSES) >= processes)

    def begin(self) -> None:
        """Set the start flag for all processes."""
        self._write(0, 1)

    def await_total(self, jobs: int) -> None:
        """Wait until all processes together have counted this number of jobs.

        Raises:
            Unmeasured: it took too long.
        """
        _await(lambda: self.total >= jobs)

    @property
    def total(self) -> int:
        """Return the count of all processes together."""
        return self._sum(1 + PROCESSES, PROCESSES * THREADS)

    def _write(self, cell: int, value: int) -> None:
        self._cells[cell] = value

    def _sum(self, first: int, cells: int) -> int:
        return sum(self._cells[first : first + cells])


def _await(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > deadline:
            raise Unmeasured(f"not done in {LONGEST:g} s")
        time.sleep(LOOK)
