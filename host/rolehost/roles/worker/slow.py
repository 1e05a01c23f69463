"""Which jobs take long: those of a partition, or of an actor, whose last job did."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runs import Run

#: Seconds above which a job is slow: quick jobs must not wait behind it.
SLOW_SECONDS = 0.01

#: Maximum number of partitions and actors that are remembered; then all are forgotten.
_MOST = 10_000


class SlowJobs:
    """The slow partitions and actors of one queue, and their running jobs; the caller locks."""

    def __init__(self) -> None:
        self._slow: set[int | str] = set()
        self._running: set[int] = set()  # identities of runs

    @property
    def running(self) -> int:
        """The number of running runs that are probably slow."""
        return len(self._running)

    def take(self, run: Run) -> None:
        """Record that a thread begins a run."""
        if self._slow and _kind(run[0]) in self._slow:
            self._running.add(id(run))

    def end(self, run: Run) -> None:
        """Record that a thread has ended a run."""
        self._running.discard(id(run))

    def measure(self, job: ClaimedJob, seconds: float) -> None:
        """Note how long a job took."""
        if seconds <= SLOW_SECONDS:
            if self._slow:
                self._slow.discard(_kind(job))
            return
        if len(self._slow) >= _MOST:
            self._slow.clear()
        self._slow.add(_kind(job))

    def last(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Return the runs of one claim with those of slow partitions last.

        Unlimited jobs keep their order, which is by priority.
        """
        if not self._slow:
            return runs
        return sorted(runs, key=lambda run: run[0].partition_id in self._slow)


def _kind(job: ClaimedJob) -> int | str:
    return job.actor if job.partition_id is None else job.partition_id
