"""Which claimed jobs of a process were cancelled."""

from __future__ import annotations

import time
from collections.abc import Collection

import msgspec
import structlog

from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: Seconds for which the list of cancelled jobs is cached; a cancelled job may start meanwhile.
CANCEL_CACHE_SECONDS = 0.01


class CancelledJobs:
    """The cancelled jobs that the process ``owner`` holds; thread-safe."""

    def __init__(self, runtime: DeliveryRuntime, owner: str) -> None:
        self._runtime = runtime
        self._owner = owner
        self._found: Collection[tuple[int, int]] = ()
        self._read_at = 0.0  # monotonic

    def among(self, jobs: Collection[tuple[int, int]]) -> Collection[tuple[int, int]]:
        """Return those of the jobs that were cancelled, as ids and tokens."""
        return [each for each in self._cancelled() if each in jobs]

    def mark(self, job: ClaimedJob) -> ClaimedJob:
        """Mark a job that was cancelled after its claim, so that the runner does not run it."""
        if (job.id, job.token) in self._cancelled():
            return msgspec.structs.replace(job, cancel=1)
        return job

    def _cancelled(self) -> Collection[tuple[int, int]]:
        """Return the cancelled jobs, as they were at most ``CANCEL_CACHE_SECONDS`` seconds ago."""
        # PERF: one query for many quick jobs.
        now = time.monotonic()
        if now - self._read_at < CANCEL_CACHE_SECONDS:
            return self._found
        self._read_at = now
        runtime = self._runtime
        try:
            with runtime.database.session():
                self._found = runtime.ledger.cancelled_jobs(self._owner)
        except StorageUnavailable as error:
            log.warning("cancelled jobs cannot be read", error=str(error))
        return self._found
