"""The jobs ledger: every durable job is a row, from its enqueueing until its retention ends.

States: ``available`` can be claimed · ``scheduled`` waits for ``run_at`` · ``claimed`` is held by a
process (its lease works like the *visibility timeout* of a queue) · ``running`` has a recorded
start · ``retrying`` waits for its next attempt · ``completed``, ``cancelled`` and ``dead`` are
final.

A claim has a *fencing token*, which rises with every claim of the row. The end of a job is written
only with the token of the last claim, so a process with an expired claim changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from rolehost.delivery.failures import storable
from rolehost.errors import PayloadError
from rolehost.storage import Database, Transaction

#: States of unfinished jobs, states of finished jobs, and all states in the order of a job's life.
ACTIVE = ("available", "scheduled", "claimed", "running", "retrying")
FINISHED = frozenset({"completed", "cancelled", "dead"})
STATES = (*ACTIVE, "completed", "cancelled", "dead")
_ACTIVE_SQL = "('available', 'scheduled', 'claimed', 'running', 'retrying')"
_WAITING_SQL = "('available', 'scheduled', 'retrying')"
_HELD_SQL = "state IN ('claimed', 'running')"

#: The condition for a job to hold its unique text; exactly the condition of the *partial index*.
HOLDS = (
    "unique_key IS NOT NULL AND (unique_held = 3 OR (unique_held IN (1, 2)"
    f" AND state IN {_ACTIVE_SQL}))"
)
#: Values of ``unique_held``: until a process claims the job, until it is finished, for a period.
UNTIL_STARTED, UNTIL_ENDED, FOR_A_PERIOD = 1, 2, 3

_INSERT = (
    "INSERT INTO rolehost_jobs (queue, actor, state, priority, run_at, arguments, key, unique_key,"
    " enqueued_at, cause, unique_held, unique_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CLAIMED = (
    "id, queue, actor, arguments, attempt, crashes, suspect, cancel, token, run_at,"
    " enqueued_at, key, cause, priority"
)
_FINISH = (
    "UPDATE rolehost_jobs SET state = ?, run_at = ?, attempt = attempt + ?, error = ?,"
    " finished_at = ?, owner = NULL"
    " WHERE id = ? AND token = ? AND state IN ('claimed', 'running')"
)
#: Maximum number of rows in one statement of :meth:`Ledger.finish_many`.
_FINISH_ROWS = 500
#: Like _FINISH, for many rows. PostgreSQL needs the type of a column that is NULL in all rows.
_FINISH_MANY = (
    "UPDATE rolehost_jobs SET state = ends.column1, run_at = ends.column2,"
    " attempt = attempt + ends.column3, error = ends.column4,"
    " finished_at = CAST(ends.column5 AS BIGINT), owner = NULL"
    " FROM (VALUES {rows}) AS ends"
    " WHERE id = ends.column6 AND token = ends.column7 AND state IN ('claimed', 'running')"
)
#: Like _FINISH, for completed jobs only: arrays of their ids, tokens and times.
_COMPLETE = (
    "UPDATE rolehost_jobs SET state = 'completed', run_at = ends.at, attempt = attempt + 1,"
    " error = NULL, finished_at = ?, owner = NULL"
    " FROM unnest(CAST(? AS BIGINT[]), CAST(? AS BIGINT[]), CAST(? AS BIGINT[]))"
    " AS ends (job, fence, at)"
    " WHERE id = ends.job AND token = ends.fence AND state IN ('claimed', 'running')"
)


class NewJob(NamedTuple):
    """A row to be inserted, in the order of the columns.

    ``held`` is 0 if the job has no ``unique``. ``until`` is in milliseconds, for ``FOR_A_PERIOD``.
    """

    queue: str
    actor: str
    state: str
    priority: int
    run_at: int
    arguments: bytes
    key: str | None
    unique: str | None
    enqueued_at: int
    cause: str | None
    held: int = 0
    until: int | None = None


class ClaimedJob(msgspec.Struct, frozen=True):
    """A row that this process holds.

    ``suspect`` is 1 if a process died while it held the job, which may be a *poison message*.
    ``row_error``: why the row cannot be read, if other software wrote it; the job becomes dead.
    """

    id: int
    queue: str
    actor: str
    arguments: bytes
    attempt: int
    crashes: int
    suspect: int
    cancel: int
    token: int
    run_at: int
    enqueued_at: int
    key: str | None
    cause: str | None
    priority: int
    row_error: str | None = None


class Finish(NamedTuple):
    """The end of an attempt; writing it releases the claim.

    ``run_at`` is the time when the job may run again, milliseconds; a finished job keeps it.
    ``counted``: the attempt counts. An ``error`` of None clears the column.
    """

    state: str
    run_at: int
    counted: bool
    error: str | None


class Ledger:
    """The statements on ``rolehost_jobs``; time and policy come from the caller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # SKIP LOCKED: a claim skips rows that another transaction claims, instead of waiting.
        # ANY(ARRAY(…)) makes the planner evaluate the subquery once, before the update. With IN it
        # may evaluate it again and claim more rows than the limit.
        chosen, skip = "IN ({rows})", ""
        self._skips = "skip-locked" in database.capabilities
        if self._skips:
            chosen, skip = "= ANY(ARRAY({rows}))", " FOR UPDATE SKIP LOCKED"
        # A key is a partition of concurrency 1: a job waits until the older ones of its key end.
        rows = (
            "SELECT id FROM rolehost_jobs j WHERE state = 'available'"
            " AND queue = ? AND actor IN ({actors})"
            " AND (key IS NULL OR NOT EXISTS (SELECT 1 FROM rolehost_jobs o"
            f" WHERE o.key = j.key AND o.id < j.id AND o.state IN {_ACTIVE_SQL}))"
            f" ORDER BY priority, run_at, id LIMIT ?{skip}"
        )
        self._claim = (
            "UPDATE rolehost_jobs SET state = 'claimed', owner = ?, token = token + 1,"
            f" unique_held = CASE unique_held WHEN {UNTIL_STARTED} THEN 0 ELSE unique_held END"
            f" WHERE id {chosen.replace('{rows}', rows)} RETURNING {_CLAIMED}"
        )

    def insert(self, tx: Transaction, job: NewJob, conflict: str = "keep") -> tuple[int, bool]:
        """Insert one job; return its id and True, or the id that holds ``unique`` and False.

        Raises PayloadError if ``conflict`` (see :attr:`rolehost.api.Unique.conflict`) would change
        a job of another actor.
        """
        if job.unique is None:
            return tx.execute(f"{_INSERT} RETURNING id", job).fetchone()[0], True
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
            change, values = "arguments = ?", [job.arguments]
            if conflict == "move":
                change, values = "state = ?, run_at = ?", [job.state, job.run_at]
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

    def promote(self, tx: Transaction, now: int) -> int:
        """Make due rows available; return their number."""
        due = "state IN ('scheduled', 'retrying') AND run_at <= ?"
        if self._skips:
            # A job that another transaction has locked is left for the next call.
            due = (
                f"id = ANY(ARRAY(SELECT id FROM rolehost_jobs WHERE {due} FOR UPDATE SKIP LOCKED))"
            )
        sql = f"UPDATE rolehost_jobs SET state = 'available' WHERE {due}"
        return tx.execute(sql, (now,)).rowcount

    def claim(
        self, tx: Transaction, queue: str, actors: Collection[str], owner: str, limit: int
    ) -> list[ClaimedJob]:
        """Claim up to ``limit`` jobs of these actors in a queue, by priority and age."""
        sql = self._claim.replace("{actors}", _marks(actors))
        rows = tx.execute(sql, (owner, queue, *actors, limit)).fetchall()
        # PostgreSQL enforces the types of its columns; SQLite stores any type in any column.
        strict = self._database.dialect == "postgresql"
        jobs = [
            ClaimedJob(*row)
            if strict or {*map(type, _INTEGERS(row))} == _INTEGER
            else _invalid(row)
            for row in rows
        ]
        jobs.sort(key=lambda job: (job.priority, job.run_at, job.id))
        return jobs

    def next_due(self) -> int | None:
        """Return when the next waiting row becomes available, milliseconds; None if none waits."""
        rows = self._database.read(
            "SELECT min(run_at) FROM rolehost_jobs WHERE state IN ('scheduled', 'retrying')"
        )
        due = rows[0][0]
        # SQLite may hold a text in a column of integers, and sorts texts after numbers.
        return due if isinstance(due, int) else None

    def has_ready_jobs(self, queue: str, actors: Collection[str]) -> bool:
        """Return whether a claim may find jobs; takes no write lock."""
        sql = (
            "SELECT 1 FROM rolehost_jobs WHERE state = 'available' AND queue = ?"
            f" AND actor IN ({_marks(actors)}) LIMIT 1"
        )
        return bool(self._database.read(sql, (queue, *actors)))

    def cancelled_jobs(self, owner: str) -> set[tuple[int, int]]:
        """Return the cancelled jobs that a process holds, as ids and tokens."""
        sql = f"SELECT id, token FROM rolehost_jobs WHERE owner = ? AND {_HELD_SQL} AND cancel = 1"
        return {(number, token) for number, token in self._database.read(sql, (owner,))}

    def start(self, tx: Transaction, job: ClaimedJob, now: int) -> bool:
        """Record the start of a claimed row; False if the claim is lost."""
        sql = (
            "UPDATE rolehost_jobs SET state = 'running', started_at = ?"
            f" WHERE id = ? AND token = ? AND {_HELD_SQL}"
        )
        return tx.execute(sql, (now, job.id, job.token)).rowcount == 1

    def finish(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Write the end of an attempt, which releases the row; False if the claim is lost."""
        return tx.execute(_FINISH, _finish_params(job, end, now)).rowcount == 1

    def conclude(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Like :meth:`finish`, as the last statement; if it returns False, roll back."""
        return tx.conclude(_FINISH, _finish_params(job, end, now))

    def finish_many(
        self, tx: Transaction, ends: Iterable[tuple[ClaimedJob, Finish]], now: int
    ) -> None:
        """Write the ends of several attempts; rows with a lost claim stay unchanged."""
        if self._database.dialect == "sqlite":
            tx.executemany(_FINISH, [_finish_params(job, end, now) for job, end in ends])
            return
        # PERF: over a network, one statement for all rows is three times as fast as one for each,
        # and three arrays for the most frequent end need no parsing.
        completed: list[tuple[int, int, int]] = []
        rows: list[tuple[Any, ...]] = []
        for job, end in ends:
            if end.state == "completed" and end.counted and end.error is None:
                completed.append((job.id, job.token, end.run_at))
            else:
                rows.append(_finish_params(job, end, now))
        if completed:
            tx.execute(_COMPLETE, (now, *map(_array, zip(*completed, strict=True))))
        for start in range(0, len(rows), _FINISH_ROWS):
            part = rows[start : start + _FINISH_ROWS]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(part))
            tx.execute(
                _FINISH_MANY.replace("{rows}", marks), [value for row in part for value in row]
            )

    def release(self, tx: Transaction, owner: str) -> set[str]:
        """Hand back all rows of a process that died; return the queues to wake.

        Each row becomes ``suspect``, so its next start is recorded. A crash is counted only for a
        row with a recorded start.
        """
        rows = tx.execute(
            "UPDATE rolehost_jobs SET crashes = crashes + (CASE WHEN state = 'running'"
            " AND suspect = 1 THEN 1 ELSE 0 END), suspect = 1, state = 'available',"
            f" owner = NULL WHERE owner = ? AND {_HELD_SQL} RETURNING queue",
            (owner,),
        ).fetchall()
        return {row[0] for row in rows}

    def hand_back(
        self, tx: Transaction, owner: str, queue: str | None = None, known: Sequence[int] = ()
    ) -> None:
        """Make rows that a living process holds available again, without counting an attempt.

        If the connection breaks during a claim, a process may hold rows of a queue that it does
        not know: all except the ``known`` ones. Without ``queue``, all its rows are handed back.
        """
        sql = (
            "UPDATE rolehost_jobs SET state = 'available', owner = NULL"
            f" WHERE owner = ? AND {_HELD_SQL}"
        )
        params: list[Any] = [owner]
        if queue is not None:
            sql += " AND queue = ?"
            params.append(queue)
        if known:
            sql += f" AND id NOT IN ({_marks(known)})"
            params += known
        tx.execute(sql, params)

    def orphaned_owners(self) -> list[str]:
        """Return owners of claimed rows that have no presence, for example a frozen process."""
        rows = self._database.read(
            f"SELECT DISTINCT owner FROM rolehost_jobs WHERE {_HELD_SQL}"
            " AND owner NOT IN (SELECT id FROM rolehost_processes)"
        )
        return [row[0] for row in rows]


#: Columns of a claimed row that hold texts and bytes; the others hold integers.
_TEXTS = ("queue", "actor", "arguments", "key", "cause")
_NAMES = _CLAIMED.split(", ")
_INTEGERS = itemgetter(*(index for index, name in enumerate(_NAMES) if name not in _TEXTS))
_INTEGER = {int}


def _invalid(row: Sequence[Any]) -> ClaimedJob:
    """Make a job from a row that cannot be read; 0 replaces each value that is not an integer."""
    columns = dict(zip(_NAMES, row, strict=True))
    wrong = [
        name for name, value in columns.items() if name not in _TEXTS and type(value) is not int
    ]
    row_error = f"its row cannot be read: no integer in {', '.join(wrong)}"
    return ClaimedJob(**{**columns, **dict.fromkeys(wrong, 0)}, row_error=row_error)


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


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _array(numbers: Iterable[int]) -> str:
    """Return PostgreSQL's text of an array
    (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO)."""
    return "{" + ",".join(map(str, numbers)) + "}"
