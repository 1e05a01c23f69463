"""Progress of running jobs, visible while they run."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from rolehost.api import JobContext, Services, StorageError

from rolehost_batches.models import Report

log = logging.getLogger(__name__)

#: Seconds between two writes; reports of one job between them replace each other.
_PAUSE = 0.2
#: Maximum length of the text of a report, characters.
_TEXT = 500


class Progress(NamedTuple):
    """What a job reported last: a share from 0 to 1, a text, and when, Unix milliseconds."""

    value: float
    text: str
    updated_at: int


class Reports:
    """Writes the reports of a process in a thread of its own, apart from the jobs' transactions.

    A job may hold SQLite's write lock. Then its reports are written after its end.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._latest: dict[int, Progress] = {}
        self._changed = threading.Condition()
        self._writing = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, job: int, report: Progress) -> None:
        """Write a report soon, unless a later one of the same job replaces it."""
        with self._changed:
            self._latest[job] = report
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all reports are written; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._latest or self._writing), seconds)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest or self._closed)
                if not self._latest:
                    return
                batch, self._latest = self._latest, {}
                self._writing = True
            try:
                self._write(batch)
            except Exception as error:
                # Another report follows, and progress may be lost.
                if not isinstance(error, StorageError):
                    log.exception("progress of jobs cannot be written")
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed, _PAUSE)

    def _write(self, batch: dict[int, Progress]) -> None:
        rows = [{"job": job, **report._asdict()} for job, report in sorted(batch.items())]
        kept = (Report.value, Report.text, Report.updated_at)
        with self._services.unit_of_work():
            Report.insert_many(rows).on_conflict(
                conflict_target=[Report.job], preserve=kept
            ).execute()


def report_progress(job: JobContext, value: float, text: str = "") -> None:
    """Report the progress of a job. It is visible within a second, before the job commits.

    The call only hands the report over, and costs microseconds: a later report replaces an earlier
    one that is not written yet. On SQLite, a job that has written in a unit of work holds the
    write lock, so its reports become visible at its end.

    Args:
        job: the context of the actor.
        value: a share from 0 to 1.
        text: for example ``"40 of 100 images"``; at most 500 characters are kept.

    Raises:
        ValueError: ``value`` is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"progress is a share from 0 to 1, not {value!r}")
    report = Progress(float(value), text[:_TEXT], job.services.clock.now())
    job.services.get(Reports).add(job.id, report)


def progress_of(services: Services, job: int) -> Progress | None:
    """Return what a job reported last; None if it has reported nothing."""
    with services.database.session():
        row = Report.get_or_none(Report.job == job)
    return None if row is None else Progress(row.value, row.text, row.updated_at)
