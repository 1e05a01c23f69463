"""Makes scheduled and retrying jobs available when their time has come."""

from __future__ import annotations

from collections.abc import Callable

from rolehost.delivery.ledger import PARTITION_COLUMNS, announce
from rolehost.delivery.scans import ScanStart
from rolehost.storage import Database, Transaction

#: Maximum number of jobs that one statement makes available.
_PROMOTED = 1000
_WAITS = "state IN ('scheduled', 'retrying') AND run_at >= ?"
_DUE = (
    f"SELECT id FROM rolehost_jobs WHERE {_WAITS} AND run_at <= ? ORDER BY run_at LIMIT {_PROMOTED}"
)
_NEXT = f"SELECT min(run_at) FROM rolehost_jobs WHERE {_WAITS}"
#: The index has no queue. So a process reads a few jobs to find the first one of its queue.
_FIRST_JOBS = 50
_FIRST = (
    f"SELECT run_at, queue FROM rolehost_jobs WHERE {_WAITS} ORDER BY run_at LIMIT {_FIRST_JOBS}"
)


class DueJobs:
    """Makes waiting jobs available at their time; for one thread. ``clock``: in milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._start = ScanStart(-(2**63), clock)
        chosen = f"IN ({_DUE})"
        if "skip-locked" in database.capabilities:
            # A job that another transaction has locked is left for the next call.
            chosen = f"= ANY(ARRAY({_DUE} FOR UPDATE SKIP LOCKED))"
        self._promote = (
            "UPDATE rolehost_jobs SET state = 'available' WHERE state IN ('scheduled', 'retrying')"
            f" AND id {chosen} RETURNING run_at, {PARTITION_COLUMNS}"
        )

    def promote(self, tx: Transaction, now: int) -> int:
        """Make due jobs available, a thousand at most; return their number."""
        rows = tx.execute(self._promote, (self._start.begin(), now)).fetchall()
        self._start.end(min((row[0] for row in rows), default=None))
        announce(tx, [row[1:] for row in rows])
        return len(rows)

    def next(self) -> int | None:
        """Return when the next waiting job becomes available, milliseconds; None if none waits."""
        [(due,)] = self._database.read(_NEXT, (self._start.begin(),))
        self._start.end(None)
        # SQLite may hold a text in a column of integers, and sorts texts after numbers.
        return due if isinstance(due, int) else None

    def next_of(self, queue: str) -> int | None:
        """Return when to look for due jobs of a queue, milliseconds; None if none waits.

        This is the time of the first job of the queue, or an earlier time if many jobs of other
        queues wait.
        """
        rows = self._database.read(_FIRST, (self._start.begin(),))
        self._start.end(None)
        times = [(at, name) for at, name in rows if isinstance(at, int)]
        own = (at for at, name in times if name == queue)
        if len(rows) < _FIRST_JOBS or not times:
            return next(own, None)
        return next(own, times[-1][0])
