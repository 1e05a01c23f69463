"""Asks for the replacement of a process in which a job does not end after its time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageError
from rolehost.roles.worker.coroutines import Coroutines, stack_of
from rolehost.roles.worker.limits import TimeLimits

log = structlog.get_logger(__name__)

#: Seconds between two checks.
CHECK_SECONDS = 0.25

#: Seconds after its interruption, or the cancellation of its coroutine, in which a job must end.
LATE_SECONDS = 2.0

#: Seconds for which a replacement waits for the database.
OUTAGE_SECONDS = 60.0


class StuckJobs:
    """Finds the jobs that go on after their time limits, in a thread of its own.

    ``replace`` is called once, with the reason. Ephemeral messages are not watched, because only
    their transport can end them.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        limits: TimeLimits,
        coroutines: Coroutines | None,
        replace: Callable[[str], object],
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._coroutines = coroutines
        self._replace = replace
        self._stopping = threading.Event()
        #: Whether the process is replaced.
        self.found = False

    def watch(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._watch, name="time limits", daemon=True).start()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopping.set()

    def _watch(self) -> None:
        away_since: float | None = None
        while not self._stopping.wait(CHECK_SECONDS):
            now = time.monotonic()
            if not self._find():
                away_since = None
            elif not self._database_answers():
                # Jobs may wait for the database, and their ends could not be stored.
                away_since = away_since or now
                if now - away_since >= OUTAGE_SECONDS and self._report():
                    return
            elif away_since is not None:
                away_since = None
                self._stopping.wait(LATE_SECONDS)
            elif self._report():
                return

    def _find(self) -> list[tuple[ClaimedJob, int | None]]:
        """Return the stuck jobs with their threads; None: a coroutine."""
        found: list[tuple[ClaimedJob, int | None]] = [
            (job, thread) for thread, job in self._limits.late(LATE_SECONDS).items()
        ]
        if self._coroutines is not None:
            found += [(each.job, None) for each in self._coroutines.late(LATE_SECONDS)]
        return found

    def _database_answers(self) -> bool:
        try:
            with self._runtime.database.session():
                self._runtime.database.read("SELECT 1")
        except StorageError:
            return False
        return True

    def _report(self) -> bool:
        """Ask for the replacement, unless the jobs have ended just now; return whether it did."""
        stuck = self._find()
        for job, thread in stuck:
            log.error(
                "a job is stuck: replacing this process",
                job_id=job.id,
                actor=job.actor,
                stack=self._stack(job, thread),
            )
        if stuck:
            self.found = True
            job = stuck[0][0]
            self._replace(f"{job.actor} (job {job.id}) is stuck")
        return self.found

    def _stack(self, job: ClaimedJob, thread: int | None) -> str:
        if thread is None:
            assert self._coroutines is not None  # the job is a coroutine of it
            return self._coroutines.stack(job)
        return stack_of(thread)
