"""Claims jobs of asynchronous actors, runs their coroutines, and then lets threads end the jobs."""

from __future__ import annotations

import threading
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rolehost.delivery.jobs import ClaimedJob, Finish
from rolehost.delivery.runs import KeyRun, Run
from rolehost.roles.coroutines import Coroutines, Running
from rolehost.roles.worker.ledger import LedgerConsumer
from rolehost.storage import Transaction

#: A claim is worth its transaction if it can take this part of ``[worker] concurrency``.
_PART = 8

#: Returns what runs the coroutine of a job, and gives the job with its end to a function.
Make = Callable[[ClaimedJob, Callable[[ClaimedJob], object]], Running]


class AsyncConsumer(LedgerConsumer):
    """The consumer of the asynchronous actors of one queue.

    At most ``concurrency`` of their jobs are claimed and not ended. A run is ready for a thread
    when its coroutine has ended. The start of a suspect is recorded with its claim. If processes
    died while they ran a job, its coroutine runs while a thread waits, one such job after another,
    so that they never occupy all threads.
    """

    one_by_one = True

    def __init__(
        self, *args: Any, coroutines: Coroutines, attempt: Make, concurrency: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._coroutines = coroutines
        self._attempt = attempt
        self._concurrency = concurrency
        self._jobs_ended = threading.Condition(self._lock)
        self._running: set[tuple[int, int]] = set()  # ids and tokens of running coroutines
        self._alone: deque[ClaimedJob] = deque()  # they wait for the one that runs alone
        self._runs_alone: ClaimedJob | None = None

    def _cycle(self) -> bool:
        if self._coroutines.running:
            cancelled = self.cancelled.among(self._coroutines.running)
            self._coroutines.cancel(cancelled, CancelledError)
        return super()._cycle()

    def _record_starts(self, tx: Transaction, runs: list[Run], now: int) -> None:
        for (job,) in runs:
            if job.suspect and not job.crashes:
                self._runtime.ledger.start(tx, job, now)

    def _admit(self, runs: list[Run], _ahead: Mapping[int, KeyRun]) -> None:
        started = []
        for (job,) in runs:
            if job.cancel or job.row_error is not None:
                self._ready.add([[job]])
            elif job.crashes:
                self._alone.append(job)
            else:
                self._running.add((job.id, job.token))
                started.append(replace(job, suspect=0))
        self._start_alone()
        self._coroutines.start([self._attempt(job, self._resume) for job in started])

    def _start_alone(self) -> None:
        if self._runs_alone is None and self._alone:
            self._runs_alone = self._alone.popleft()
            self._ready.add([[self._runs_alone]])

    def _resume(self, job: ClaimedJob) -> None:
        """Let a thread end a job whose coroutine has ended."""
        with self._lock:
            self._running.discard((job.id, job.token))
            self._pace.claim()
            self._ready.add([[job]])
            self._offer_slots()
            wake = self._slots_free > 0
        if wake:
            self._listener.interrupt()

    def _room(self) -> int:
        room = self._concurrency - len(self._running) - len(self._alone) - self._ready.unfinished
        if room * _PART < self._concurrency and time.monotonic() < self._write_at:
            return 0
        return room

    def _hand_back_hoarded(self) -> None:
        """Keep jobs whose coroutines have ended, however long they wait for a thread."""

    @property
    def may_start(self) -> bool:
        """True: threads end the jobs whose coroutines have ended, also while the process stops."""
        return True

    def finish(self, run: Run, ends: Sequence[tuple[Finish, float]]) -> None:
        """See :meth:`LedgerConsumer.finish`."""
        super().finish(run, ends)
        with self._jobs_ended:
            if self._runs_alone in run:
                self._runs_alone = None
                self._start_alone()
            self._jobs_ended.notify_all()

    def close(self) -> None:
        """See :meth:`LedgerConsumer.close`."""
        with self._lock:
            self._ready.add([[job] for job in self._alone])  # they are handed back
            self._alone.clear()
        super().close()

    def drain(self, seconds: float) -> bool:
        """Wait until threads have ended all jobs whose coroutines have ended."""
        with self._jobs_ended:
            return self._jobs_ended.wait_for(lambda: not self._ready.unfinished, seconds)
