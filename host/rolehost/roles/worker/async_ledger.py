"""Claims jobs of asynchronous actors, runs their coroutines, and then lets threads end the jobs."""

from __future__ import annotations

import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rolehost.delivery.jobs import ClaimedJob, Finish
from rolehost.delivery.runs import KeyRun, Run
from rolehost.roles.coroutines import Coroutines, Running
from rolehost.roles.worker.ledger import LedgerConsumer

#: A claim is worth its transaction if it can take this part of ``[worker] concurrency``.
_PART = 8

#: Returns what runs the coroutine of a job, and gives the job with its end to a function.
Make = Callable[[ClaimedJob, Callable[[ClaimedJob], object]], Running]


class AsyncConsumer(LedgerConsumer):
    """The consumer of the asynchronous actors of one queue.

    At most ``concurrency`` of their jobs are claimed and not ended. A run is ready for a thread
    when its coroutine has ended. A suspect's coroutine runs while its thread waits, because its
    start must be recorded first.
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

    def _cycle(self) -> bool:
        if self._coroutines.running:
            cancelled = self.cancelled.among(self._coroutines.running)
            self._coroutines.cancel(cancelled, CancelledError)
        return super()._cycle()

    def _admit(self, runs: list[Run], _ahead: Mapping[int, KeyRun]) -> None:
        started = []
        for (job,) in runs:
            if job.suspect or job.cancel or job.row_error is not None:
                self._ready.add([[job]])
            else:
                self._running.add((job.id, job.token))
                started.append(job)
        self._coroutines.start([self._attempt(job, self._resume) for job in started])

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
        room = self._concurrency - len(self._running) - self._ready.unfinished
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
            self._jobs_ended.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait until threads have ended all jobs whose coroutines have ended."""
        with self._jobs_ended:
            return self._jobs_ended.wait_for(lambda: not self._ready.unfinished, seconds)
