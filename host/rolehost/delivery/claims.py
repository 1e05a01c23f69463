"""Claims of jobs: unlimited ones straight from the queue, limited ones by partition."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from rolehost.api.limits import Limits
from rolehost.delivery import changes, limitstore
from rolehost.delivery.changes import Change
from rolehost.delivery.due import DueJobs
from rolehost.delivery.jobs import UNTIL_STARTED, ClaimedJob, partition_of
from rolehost.delivery.limits import Share
from rolehost.delivery.partitions import NONE_AHEAD, Partitions
from rolehost.delivery.runs import KeyRun, Run
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scans import ScanStart
from rolehost.delivery.statements import among, marks, numbers
from rolehost.storage import Transaction

_COLUMNS = (
    "id, queue, actor, arguments, attempt, crashes, suspect, cancel, token, run_at,"
    " enqueued_at, key, cause, priority, partition, partition_id, expires_at"
)
#: Milliseconds for which the limits that were set at run time are cached.
_LIMITS_MILLISECONDS = 1000
#: Milliseconds between two looks for due jobs, and between two moves of jobs to their partitions,
#: while limited jobs are claimed by a worker that has no other actors.
_MOVE_MILLISECONDS = 50
#: Before every position of the index of waiting jobs: priority, run_at, id.
_FIRST = (-(2**31), -(2**63), -(2**63))


class Claims:
    """Claims the jobs of some ``actors`` in a queue for the process ``owner``; for one thread.

    ``one_by_one``: a claim takes one job of a key, or of a partition of concurrency 1, so that no
    run has several jobs.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        queue: str,
        actors: Sequence[str],
        owner: str,
        *,
        one_by_one: bool = False,
    ) -> None:
        self._runtime = runtime
        self._queue = queue
        self._actors = list(actors)
        self._owner = owner
        database, clock = runtime.database, runtime.clock.now
        self._loose = database.dialect == "sqlite"
        self._due = DueJobs(database, clock)
        self._partitions = Partitions(
            database, runtime.limits, queue, actors, clock, one_by_one=one_by_one
        )
        self._unlimited_first = False
        self._move_at = 0  # milliseconds
        #: Whether the last claim passed over changes that another process had locked.
        self.missed = False
        # When the limits were read, by the database's and the monotonic clock, milliseconds.
        self._limits_at: tuple[int, int] | None = None
        self._reopens = False  # whether partitions are opened as if the limits were changed
        self._set_limits: dict[str, Limits] | None = None  # those set at run time, as read then
        self._start: ScanStart[tuple[int, int, int]] = ScanStart(_FIRST, clock)
        # SKIP LOCKED: rows that another transaction is claiming are passed over, not waited for.
        # ANY(ARRAY(…)) makes the planner evaluate the subquery once, before the update. With IN it
        # may evaluate it again and claim more rows than the limit.
        chosen, skip = "IN ({rows})", ""
        if not self._loose:
            chosen, skip = "= ANY(ARRAY({rows}))", " FOR UPDATE SKIP LOCKED"
        self._waiting = (
            "state = 'available' AND partition_id IS NULL AND queue = ?"
            f" AND actor IN ({marks(actors)}) AND (priority, run_at, id) >= (?, ?, ?)"
        )
        rows = (
            f"SELECT id FROM rolehost_jobs WHERE {self._waiting}"
            f" ORDER BY priority, run_at, id LIMIT ?{skip}"
        )
        self._chosen = chosen.format(rows=rows)

    def claim(
        self,
        tx: Transaction,
        want: int,
        now: int,
        longest: int = 0,
        own: Sequence[Change] = (),
        ahead: Mapping[int, KeyRun] = NONE_AHEAD,
    ) -> list[Run]:
        """Make due jobs available, then claim up to ``want`` runs; ``now`` is in milliseconds.

        Limited and unlimited jobs of a queue come first in turns, so that neither kind waits until
        the other kind ends. See :meth:`Partitions.claim` for ``longest``, ``own`` and ``ahead``.
        """
        self.missed = False
        self._read_limits(tx, now)
        limited = self._limited()
        if limited == self._actors and 0 < self._move_at - now <= _MOVE_MILLISECONDS:
            # PERF: few jobs became due meanwhile, and no unlimited job is found, except to move it.
            runs = self._claim_limited(tx, want, now, longest, own, ahead)
            if runs:
                return runs
            own, ahead = (), NONE_AHEAD
        self._due.promote(tx, now)
        self._move_at = now + _MOVE_MILLISECONDS
        self._unlimited_first = not self._unlimited_first or limited == self._actors
        runs = self._claim_unlimited(tx, want, limited) if self._unlimited_first else []
        if len(runs) < want:
            runs += self._claim_limited(tx, want - len(runs), now, longest, own, ahead)
        else:
            changes.append(tx, own)
        if len(runs) < want and not self._unlimited_first:
            runs += self._claim_unlimited(tx, want - len(runs), limited)
        return runs

    def _limited(self) -> list[str]:
        """Return the actors whose jobs are claimed by partition."""
        applies = self._runtime.limits.applies
        return [actor for actor in self._actors if applies(actor, self._queue)]

    def may_find_jobs(self, now: int) -> bool:
        """Return whether a claim may find jobs; takes no write lock."""
        due = self._due.next()
        if due is not None and due <= now:
            return True
        start = self._start.begin()
        rows = self._runtime.database.read(
            f"SELECT priority, run_at, id FROM rolehost_jobs WHERE {self._waiting}"
            " ORDER BY priority, run_at, id LIMIT 1",
            (self._queue, *self._actors, *start),
        )
        self._start.end(rows[0] if rows else None)
        return bool(rows) or self._partitions.may_find_jobs(now)

    def _read_limits(self, tx: Transaction, now: int) -> None:
        """Follow the limits that were set at run time, at most a second late."""
        # Both clocks are compared: a clock that was set back may reach the same time again.
        times = now, int(time.monotonic() * 1000)
        if self._limits_at and all(
            0 <= one - other < _LIMITS_MILLISECONDS
            for one, other in zip(times, self._limits_at, strict=True)
        ):
            return
        limits = self._runtime.limits
        limits.stored = limitstore.load(tx)
        numbers = {name: limit for name, limit in limits.stored.items() if limit}
        if self._reopens or self._set_limits not in (None, numbers):
            changes.reopen(tx, self._queue)
        self._reopens = False
        self._set_limits = numbers
        missing = set(limits.declared()) - set(limits.stored)
        if missing:
            limitstore.ensure(tx, missing)
            limits.stored = limitstore.load(tx)
        self._limits_at = times

    def forget_limits(self) -> None:
        """Read the limits again, because the last claim was not committed.

        That claim may have opened the partitions that an old limit had closed.
        """
        self._limits_at, self._reopens = None, True

    def next_due(self) -> int | None:
        """Return when a job is due or a rate admits one, milliseconds; None if none waits."""
        due = [self._due.next_of(self._queue), self._partitions.next_due()]
        return min((at for at in due if at is not None), default=None)

    def _claim_unlimited(self, tx: Transaction, want: int, limited: Sequence[str]) -> list[Run]:
        # A limited job whose enqueuer did not know the limit is found here too. It is moved, not
        # taken, so it keeps its unique text.
        taken = f"key IS NULL AND actor NOT IN ({marks(limited)})" if limited else "key IS NULL"
        start = self._start.begin()
        rows = tx.execute(
            _CLAIM.format(taken=taken, chosen=self._chosen),
            (
                self._owner, self._new_token(), *limited,
                self._queue, *self._actors, *start, want,
            ),
        ).fetchall()  # fmt: skip
        jobs = self._jobs(rows)
        self._start.end(_position(jobs[0]) if jobs else None)
        runs, moved = [], []
        for job in jobs:
            if job.key is not None or job.actor in limited:
                moved.append(job)
            else:
                runs.append([job])
        self._move(tx, moved)
        return runs

    def _new_token(self) -> int:
        """Return a fencing token that no other claim has, in any copy of the database."""
        return self._runtime.random.getrandbits(63)

    def _move(self, tx: Transaction, jobs: Sequence[ClaimedJob]) -> None:
        """Move jobs to their partitions."""
        if not jobs:
            return
        moved = []
        for job in jobs:
            if job.key is None and job.partition is None:
                partition = self._runtime.partition_of(job.actor, job.arguments)
                job = msgspec.structs.replace(job, partition=partition)
            name = partition_of(job.key, job.partition, job.queue, job.actor)
            moved.append((job.partition, name, job.id))
        tx.executemany(
            "UPDATE rolehost_jobs SET state = 'available', owner = NULL, partition = ?,"
            " partition_id = ? WHERE id = ?",
            [(partition, name.id, number) for partition, name, number in moved],
        )
        changes.append(tx, [changes.change(name) for _, name, _ in moved])

    def _claim_limited(
        self,
        tx: Transaction,
        want: int,
        now: int,
        longest: int,
        own: Sequence[Change],
        ahead: Mapping[int, KeyRun],
    ) -> list[Run]:
        if not own and not ahead and not self._partitions.may_find_jobs(now):
            return []
        found = self._partitions.claim(tx, want, now, longest, own, ahead)
        self.missed = self._partitions.missed
        shares = [each for each in found if each.jobs]
        if not shares:
            return []
        dialect = self._runtime.database.dialect
        ids = chain.from_iterable(each.jobs for each in shares)
        rows = tx.execute(
            _CLAIM.format(taken="1 = 1", chosen=among(dialect)),
            (self._owner, self._new_token(), numbers(dialect, ids)),
        ).fetchall()
        jobs = {job.id: job for job in self._jobs(rows)}
        _set_partitions(tx, shares, jobs)
        runs: list[Run] = []
        for each in shares:
            claimed = [jobs[number] for number in each.jobs]
            if not each.serial:
                runs += [[job] for job in claimed]
            else:
                runs.append(KeyRun(claimed) if each.partition.kind == "key" else claimed)
        return runs

    def _jobs(self, rows: Sequence[Sequence[Any]]) -> list[ClaimedJob]:
        # PostgreSQL enforces the types of its columns; SQLite stores any type in any column.
        jobs = [
            _invalid(row)
            if self._loose and {*map(type, _INTEGERS(row))} != _INTEGER
            else ClaimedJob(*row)
            for row in rows
        ]
        jobs.sort(key=_position)
        return jobs


def _set_partitions(tx: Transaction, shares: Sequence[Share], jobs: dict[int, ClaimedJob]) -> None:
    """Set the partition of jobs that an older version enqueued; they are found by their key."""
    missing = [
        (share.partition.id, number)
        for share in shares
        for number in share.jobs
        if jobs[number].partition_id is None
    ]
    if missing:
        tx.executemany("UPDATE rolehost_jobs SET partition_id = ? WHERE id = ?", missing)
    for partition_id, number in missing:
        jobs[number] = msgspec.structs.replace(jobs[number], partition_id=partition_id)


_CLAIM = (
    "UPDATE rolehost_jobs SET state = 'claimed', owner = ?, token = ?,"
    f" unique_held = CASE WHEN unique_held = {UNTIL_STARTED} AND {{taken}} THEN 0"
    " ELSE unique_held END"
    f" WHERE id {{chosen}} RETURNING {_COLUMNS}"
)

#: Columns of a claimed row that hold texts and bytes, or may be NULL; the others hold integers.
_TEXTS = ("queue", "actor", "arguments", "key", "cause", "partition", "partition_id", "expires_at")
_NAMES = _COLUMNS.split(", ")
_INTEGERS = itemgetter(*(index for index, name in enumerate(_NAMES) if name not in _TEXTS))
_INTEGER = {int}


#: The place of a claimed job in the order of claims: priority, time, id.
_position = attrgetter("priority", "run_at", "id")


def _invalid(row: Sequence[Any]) -> ClaimedJob:
    """Make a job from a row that cannot be read; 0 replaces each value that is not an integer."""
    columns = dict(zip(_NAMES, row, strict=True))
    wrong = [
        name for name, value in columns.items() if name not in _TEXTS and type(value) is not int
    ]
    row_error = f"its row cannot be read: no integer in {', '.join(wrong)}"
    return ClaimedJob(**{**columns, **dict.fromkeys(wrong, 0)}, row_error=row_error)
