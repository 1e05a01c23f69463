"""Counts what several processes have done, in memory that they share with who measures."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.model import Unmeasured

#: Most processes that count, and most threads that count in one of them.
PROCESSES, THREADS = 16, 32
#: Seconds within which everything must be done.
LONGEST = 120.0
#: Seconds between looks: short beside a round, long beside a look.
LOOK = 0.002
_CELL = struct.Struct("=q")


class _Own(threading.local):
    """What the calling thread counts: its cell, 0 before it has one, and its count."""

    cell = 0
    counted = 0


class Tally:
    """A file of cells: one says that work may begin; each process has one of being ready, and
    one for each of its threads of the jobs that it counted.

    A thread has a cell of its own because a lock that all of them take for each job would be
    what is measured.

    Args:
        path: the file; made when missing.
        slot: which counter is that of this process, from 0.
    """

    def __init__(self, path: Path, slot: int = 0) -> None:
        size = _CELL.size * (1 + PROCESSES + PROCESSES * THREADS)
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(number, size)
            self._cells = mmap.mmap(number, size)
        finally:
            os.close(number)
        self._slot = slot
        first = 1 + PROCESSES + slot * THREADS
        self._free = iter(range(first, first + THREADS))
        self._own = _Own()

    def count(self, _number: int = 0) -> None:
        """Count one job of this process; for any thread."""
        self.count_many(1)

    def count_many(self, jobs: int) -> None:
        """Count several jobs of this process; for any thread."""
        own = self._own
        if not own.cell:
            own.cell = next(self._free)
        own.counted += jobs
        self._write(own.cell, own.counted)

    def await_begin(self) -> None:
        """Say that this process is ready, and wait until work may begin."""
        self._write(1 + self._slot, 1)
        _await(lambda: self._sum(0, 1) == 1)

    def await_ready(self, processes: int) -> None:
        """Wait until so many processes are ready.

        Raises:
            Unmeasured: it took too long.
        """
        _await(lambda: self._sum(1, PROCESSES) >= processes)

    def begin(self) -> None:
        """Let all processes begin."""
        self._write(0, 1)

    def await_total(self, jobs: int) -> None:
        """Wait until so many have been counted by all processes.

        Raises:
            Unmeasured: it took too long.
        """
        _await(lambda: self.total >= jobs)

    @property
    def total(self) -> int:
        """What all processes have counted."""
        return self._sum(1 + PROCESSES, PROCESSES * THREADS)

    def _write(self, cell: int, value: int) -> None:
        _CELL.pack_into(self._cells, cell * _CELL.size, value)

    def _sum(self, first: int, cells: int) -> int:
        part = self._cells[first * _CELL.size : (first + cells) * _CELL.size]
        return sum(value for (value,) in _CELL.iter_unpack(part))


def _await(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > deadline:
            raise Unmeasured(f"not done in {LONGEST:g} s")
        time.sleep(LOOK)
