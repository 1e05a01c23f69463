"""The jobs ledger: every durable job is a row, from its enqueueing until its retention ends.

A claim has a *fencing token*, a random number that no other claim has. The end of a job is written
only with the token of the last claim. So a process with an expired claim changes nothing, and
neither does a process that made its claim in another history of the database: a copy that was
restored, or took over after a failover, gives ids of jobs again.

A transaction that makes a limited job available (:class:`NewJob`), or ends its claim, also appends
a change of its partition (:mod:`rolehost.delivery.changes`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rolehost.delivery import changes, history
from rolehost.delivery.changes import Change
from rolehost.delivery.jobs import (
    FINISHED,
    FOR_A_PERIOD,
    ClaimedJob,
    Finish,
    NewJob,
    partition_of,
)
from rolehost.delivery.statements import array, marks
from rolehost.errors import PayloadError
from rolehost.failures import storable
from rolehost.storage import Cursor, Database, Transaction

_ACTIVE_SQL = "('available', 'scheduled', 'claimed', 'running', 'retrying')"
_WAITING_SQL = "('available', 'scheduled', 'retrying')"
#: Held rows. Statements by id use ``owner IS NOT NULL``, which means the same: with the states,
#: PostgreSQL's planner reads the whole index of held rows, and the dead entries of earlier claims.
_HELD_SQL = "state IN ('claimed', 'running')"

#: The condition for a job to hold its unique text; exactly the condition of the *partial index*.
HOLDS = (
    "unique_key IS NOT NULL AND (unique_held = 3 OR (unique_held IN (1, 2)"
    f" AND state IN {_ACTIVE_SQL}))"
)

_INSERT = (
    "INSERT INTO rolehost_jobs (queue, actor, state, priority, run_at, arguments, key, unique_key,"
    " enqueued_at, cause, unique_held, unique_until, partition, partition_id, expires_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_ONE = f"{_INSERT} RETURNING id"
_FINISH = (
    "UPDATE rolehost_jobs SET state = ?, run_at = ?, attempt = attempt + ?, error = ?,"
    " finished_at = ?, owner = NULL"
    " WHERE id = ? AND token = ? AND owner IS NOT NULL"
)
#: Maximum number of rows in one statement of :meth:`Ledger.insert_returning`.
_INSERT_ROWS = 500
#: Maximum number of rows in one statement of :meth:`Ledger.finish_many`.
_FINISH_ROWS = 500
#: Like _FINISH, for many rows. PostgreSQL needs the type of a column that is NULL in all rows.
_FINISH_MANY = (
    "UPDATE rolehost_jobs SET state = ends.column1, run_at = ends.column2,"
    " attempt = attempt + ends.column3, error = ends.column4,"
    " finished_at = CAST(ends.column5 AS BIGINT), owner = NULL"
    " FROM (VALUES {rows}) AS ends"
    " WHERE id = ends.column6 AND token = ends.column7 AND owner IS NOT NULL"
)
#: Like _FINISH, for completed jobs only: arrays of their ids, tokens and times. PostgreSQL cannot
#: see how many jobs these are, so its planner never prefers a scan of the table to its index.
_COMPLETE = (
    "UPDATE rolehost_jobs SET state = 'completed', run_at = ends.at, attempt = attempt + 1,"
    " error = NULL, finished_at = ?, owner = NULL"
    " FROM unnest((SELECT CAST(? AS BIGINT[])), (SELECT CAST(? AS BIGINT[])),"
    " (SELECT CAST(? AS BIGINT[]))) AS ends (job, fence, at)"
    " WHERE id = ends.job AND token = ends.fence AND owner IS NOT NULL"
)
#: The columns that :func:`partition_of` takes, and the id.
PARTITION_COLUMNS = "key, partition, queue, actor, partition_id"


class Ledger:
    """The statements on ``rolehost_jobs``; time and policy come from the caller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._skips = "skip-locked" in database.capabilities

    def insert_only(self, tx: Transaction, job: NewJob) -> int:
        """Insert one job as the only statement of the transaction; return its id.

        The job must be unlimited, or wait for a time, and have no ``unique``.
        """
        number: int = tx.execute_only(_INSERT_ONE, job).fetchone()[0]
        return number

    def insert(self, tx: Transaction, job: NewJob, conflict: str = "keep") -> tuple[int, bool]:
        """Insert one job; return its id and True, or the job that holds ``unique`` and False.

        The caller appends the change of the job (:meth:`NewJob.waits`), once for a transaction.

        Raises PayloadError if ``conflict`` (see :attr:`rolehost.api.Unique.conflict`) would change
        a job of another actor.
        """
        if job.unique is None:
            number: int = tx.execute(_INSERT_ONE, job).fetchone()[0]
            return number, True
        sql = f"{_INSERT} ON CONFLICT (unique_key) WHERE {HOLDS} DO NOTHING RETURNING id"
        while True:
            row = tx.execute(sql, job).fetchone()
            if row is not None:
                return row[0], True
            found = self._resolve_conflict(tx, job, conflict)
            # Another transaction may have taken or finished that job between the statements.
            if found is not None:
                return found, False

    def _resolve_conflict(self, tx: Transaction, job: NewJob, conflict: str) -> int | None:
        """Return the id of the job that holds the unique text; None if the text is free now.

        A waiting job is locked until this transaction ends, and claims skip it. Otherwise it could
        run, and read the tables, before this transaction's writes are committed.
        """
        expired = tx.execute(
            "UPDATE rolehost_jobs SET unique_held = 0 WHERE unique_key = ?"
            f" AND unique_held = {FOR_A_PERIOD} AND unique_until <= ?",
            (job.unique, job.enqueued_at),
        ).rowcount
        if expired:
            return None
        waits = f"unique_key = ? AND {HOLDS} AND state IN {_WAITING_SQL}"
        values: list[Any]
        if conflict == "keep":
            lock = " FOR SHARE" if self._skips else ""
            sql = f"SELECT id FROM rolehost_jobs WHERE {waits}{lock}"
            found = tx.execute(sql, (job.unique,)).fetchone()
        else:
            change = (
                "expires_at = ?, arguments = ?, partition = ?,"
                " partition_id = CASE WHEN key IS NULL THEN ? ELSE partition_id END"
            )
            values = [job.expires_at, job.arguments, job.partition, job.partition_id]
            if conflict == "move":
                change = "expires_at = ?, state = ?, run_at = ?"
                values = [job.expires_at, job.state, job.run_at]
            sql = f"UPDATE rolehost_jobs SET {change} WHERE {waits} AND actor = ? RETURNING id"
            found = tx.execute(sql, (*values, job.unique, job.actor)).fetchone()
        if found is not None:
            return int(found[0])
        row = tx.execute(
            f"SELECT id, actor, state FROM rolehost_jobs WHERE unique_key = ? AND {HOLDS}",
            (job.unique,),
        ).fetchone()
        if row is None:
            return None
        number, actor, state = row
        if conflict != "keep" and actor != job.actor:
            raise PayloadError(
                f"enqueueing actor {job.actor}: unique {job.unique!r} is taken by job"
                f" {number} of actor {actor}, which cannot be changed for another"
            )
        return int(number) if state in ("claimed", "running", *FINISHED) else None

    def insert_many(self, tx: Transaction, jobs: Sequence[NewJob]) -> None:
        """Insert jobs in bulk; jobs with ``unique`` are not allowed."""
        tx.executemany(_INSERT, jobs)

    def insert_returning(self, tx: Transaction, jobs: Sequence[NewJob]) -> list[int]:
        """Like :meth:`insert_many`; return the ids, which PostgreSQL's COPY cannot."""
        # Ids are given in the order of the rows. The order of the returned rows is not promised.
        rows = self._insert_in_parts(tx, jobs, " RETURNING id")
        return sorted(number for (number,) in rows)

    def insert_unique(
        self, tx: Transaction, jobs: Sequence[tuple[NewJob, str]]
    ) -> list[tuple[int, bool]]:
        """Like :meth:`insert` for many jobs with ``unique``, each with its ``conflict``."""
        tail = f" ON CONFLICT (unique_key) WHERE {HOLDS} DO NOTHING RETURNING unique_key, id"
        created = dict(self._insert_in_parts(tx, [job for job, _ in jobs], tail))
        inserted = []
        for job, conflict in jobs:
            number = created.pop(job.unique, None)  # the first of several jobs with one text
            inserted.append(self.insert(tx, job, conflict) if number is None else (number, True))
        return inserted

    def _insert_in_parts(
        self, tx: Transaction, jobs: Sequence[NewJob], tail: str
    ) -> list[tuple[Any, ...]]:
        head, row = _INSERT.split(" VALUES ")
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(jobs), _INSERT_ROWS):
            part = jobs[start : start + _INSERT_ROWS]
            values = [value for job in part for value in job]
            sql = f"{head} VALUES {', '.join([row] * len(part))}{tail}"
            found += tx.execute(sql, values).fetchall()
        return found

    def cancelled_jobs(self, owner: str) -> set[tuple[int, int]]:
        """Return the cancelled jobs that a process holds, as ids and tokens."""
        sql = f"SELECT id, token FROM rolehost_jobs WHERE owner = ? AND {_HELD_SQL} AND cancel = 1"
        return {(number, token) for number, token in self._database.read(sql, (owner,))}

    def goes_on(self, job: ClaimedJob) -> bool:
        """Return whether a claim is valid, and its job was not cancelled."""
        sql = (
            "SELECT 1 FROM rolehost_jobs"
            " WHERE id = ? AND token = ? AND owner IS NOT NULL AND cancel = 0"
        )
        return bool(self._database.read(sql, (job.id, job.token)))

    def start(self, tx: Transaction, job: ClaimedJob, now: int) -> bool:
        """Record the start of a claimed row; False if the claim is lost."""
        sql = (
            "UPDATE rolehost_jobs SET state = 'running', started_at = ?"
            " WHERE id = ? AND token = ? AND owner IS NOT NULL"
        )
        return tx.execute(sql, (now, job.id, job.token)).rowcount == 1

    def finish(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Write the end of an attempt, which releases the row; False if the claim is lost."""
        history.append(tx, [(job, end)])
        ended = tx.execute(_FINISH, _finish_params(job, end, now)).rowcount == 1
        if ended and job.partition_id is not None:
            changes.append(tx, [job.freed()])
        return ended

    def conclude(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Like :meth:`finish`, as the last statement; if it returns False, roll back."""
        if job.partition_id is not None:
            changes.append(tx, [job.freed()])
        history.append(tx, [(job, end)])
        return tx.conclude(_FINISH, _finish_params(job, end, now))

    def finish_many(
        self, tx: Transaction, ends: Sequence[tuple[ClaimedJob, Finish]], now: int
    ) -> None:
        """Write the ends of several attempts; rows with a lost claim stay unchanged."""
        changes.append(tx, self.end_many(tx, ends, now))

    def end_many(
        self, tx: Transaction, ends: Sequence[tuple[ClaimedJob, Finish]], now: int
    ) -> list[Change]:
        """Like :meth:`finish_many`; return the changes, which the caller applies or appends."""
        if not any(job.partition_id for job, _ in ends):
            self._finish_together(tx, ends, now)
            return []
        # A process may end a claim that it has lost beside a later claim of the same job.
        statements = self._finish_together(tx, ends, now, " RETURNING id, token")
        ended = {tuple(row) for cursor in statements for row in cursor.fetchall()}
        return [job.freed() for job, _ in ends if job.partition_id and (job.id, job.token) in ended]

    def finish_all(
        self, tx: Transaction, ends: Sequence[tuple[ClaimedJob, Finish]], now: int
    ) -> bool:
        """Like :meth:`finish_many`; if it returns False, a claim is lost: roll back."""
        ended = sum(cursor.rowcount for cursor in self._finish_together(tx, ends, now))
        changes.append(tx, [job.freed() for job, _ in ends if job.partition_id is not None])
        return ended == len(ends)

    def _finish_together(
        self,
        tx: Transaction,
        ends: Sequence[tuple[ClaimedJob, Finish]],
        now: int,
        returning: str = "",
    ) -> list[Cursor]:
        """Write ends with few statements; return the cursor of each one."""
        history.append(tx, ends)
        # PERF: one statement for many rows is two to three times as fast as one for each. On
        # PostgreSQL three arrays for the most frequent end need no parsing.
        completed: list[tuple[int, int, int]] = []
        rows: list[tuple[Any, ...]] = []
        arrays = self._database.dialect != "sqlite"
        for job, end in ends:
            if arrays and end.state == "completed" and end.counted and end.error is None:
                completed.append((job.id, job.token, end.run_at))
            else:
                rows.append(_finish_params(job, end, now))
        done = []
        if completed:
            columns = map(array, zip(*completed, strict=True))
            done.append(tx.execute(_COMPLETE + returning, (now, *columns)))
        for start in range(0, len(rows), _FINISH_ROWS):
            part = rows[start : start + _FINISH_ROWS]
            places = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(part))
            values = [value for row in part for value in row]
            done.append(tx.execute(_FINISH_MANY.replace("{rows}", places) + returning, values))
        return done

    def release(self, tx: Transaction, owner: str, now: int) -> set[str]:
        """Hand back the rows of a process that died; return the queues to wake.

        Each row becomes ``suspect``, so its next start is recorded. A crash is counted only for a
        row with a recorded start. A row that a transaction of that process has locked is left: the
        next sweep finds it as orphaned.
        """
        history.append_died(tx, self._held_by("owner = ?"), owner, now)
        rows = tx.execute(
            "UPDATE rolehost_jobs SET crashes = crashes + (CASE WHEN state = 'running'"
            " AND suspect = 1 THEN 1 ELSE 0 END), suspect = 1, state = 'available',"
            f" owner = NULL WHERE id {self._held_by('owner = ?')} RETURNING {PARTITION_COLUMNS}",
            (owner,),
        ).fetchall()
        announce(tx, rows, freed=1)
        return {queue for _, _, queue, _, _ in rows}

    def hand_back(
        self,
        tx: Transaction,
        owner: str,
        queue: str | None = None,
        actors: Collection[str] = (),
        known: Collection[int] = (),
    ) -> None:
        """Make rows that a living process holds available again, without counting an attempt.

        A process may hold rows that it does not know, for example if the connection breaks during a
        claim, or after a failover to a server that missed the ends of its jobs. Rows with a
        ``known`` token are not handed back. Without ``queue``, the rows of all queues are; with it,
        those of its ``actors``, because another consumer of this process may have the others.
        """
        condition = "owner = ?"
        params: list[Any] = [owner, *known]
        if known:
            condition += f" AND token NOT IN ({marks(known)})"
        if queue is not None:
            condition += f" AND queue = ? AND actor IN ({marks(actors)})"
            params += [queue, *actors]
        rows = tx.execute(
            "UPDATE rolehost_jobs SET state = 'available', owner = NULL"
            f" WHERE id {self._held_by(condition)} RETURNING {PARTITION_COLUMNS}",
            params,
        ).fetchall()
        announce(tx, rows, freed=1)

    def _held_by(self, condition: str) -> str:
        """Return the condition on the id of claimed rows that no other transaction has locked."""
        rows = f"SELECT id FROM rolehost_jobs WHERE {condition} AND {_HELD_SQL}"
        return f"= ANY(ARRAY({rows} FOR UPDATE SKIP LOCKED))" if self._skips else f"IN ({rows})"

    def orphaned_owners(self) -> list[str]:
        """Return owners of claimed rows that have no presence, for example a frozen process."""
        rows = self._database.read(
            f"SELECT DISTINCT owner FROM rolehost_jobs WHERE {_HELD_SQL}"
            " AND owner NOT IN (SELECT id FROM rolehost_processes)"
        )
        return [row[0] for row in rows]


def _finish_params(job: ClaimedJob, end: Finish, now: int) -> tuple[Any, ...]:
    return (
        end.state,
        end.run_at,
        1 if end.counted else 0,
        None if end.error is None else storable(end.error),
        now if end.state in FINISHED else None,
        job.id,
        job.token,
    )


def announce(tx: Transaction, rows: Iterable[Sequence[Any]], freed: int = 0) -> None:
    """Append a change for each limited job, given as ``PARTITION_COLUMNS``; ``freed``: 0 or 1."""
    changes.append(
        tx,
        [
            changes.change(partition_of(*names), freed)
            for *names, partition_id in rows
            if partition_id is not None
        ],
    )
