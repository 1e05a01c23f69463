"""The jobs ledger: every durable job is a row, from its enqueueing to its retention.

States: ``available`` may be claimed · ``scheduled`` waits for ``run_at`` · ``claimed`` is held
by a process · ``running`` has been started · ``retrying`` waits for its next attempt ·
``completed``, ``cancelled`` and ``dead`` are over. A claimed row is fenced: whoever finishes it
must show the token of its claim, which rises with every claim.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from rolehost.delivery.failures import storable
from rolehost.errors import PayloadError
from rolehost.storage import Database, Transaction

#: States in which a job is not over.
ACTIVE = ("available", "scheduled", "claimed", "running", "retrying")
#: All states, in the order of a job's life.
STATES = (*ACTIVE, "completed", "cancelled", "dead")
_ACTIVE_SQL = "('available', 'scheduled', 'claimed', 'running', 'retrying')"

_WAITING_SQL = "('available', 'scheduled', 'retrying')"
#: Jobs whose unique text is taken: the condition of the unique index, word by word.
HOLDS = (
    "unique_key IS NOT NULL AND (unique_held = 3 OR (unique_held IN (1, 2)"
    f" AND state IN {_ACTIVE_SQL}))"
)
#: Values of ``unique_held``: until a process takes the job, until it is over, for a period.
UNTIL_STARTED, UNTIL_ENDED, FOR_A_PERIOD = 1, 2, 3

_COLUMNS = (
    "queue, actor, state, priority, run_at, arguments, key, unique_key, enqueued_at, cause,"
    " unique_held, unique_until"
)
_INSERT = f"INSERT INTO rolehost_jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CLAIMED = (
    "id, queue, actor, arguments, attempt, crashes, suspect, cancel, token, run_at,"
    " enqueued_at, key, cause, priority"
)


class NewJob(NamedTuple):
    """A row to be inserted, in the order of the columns.

    Attributes:
        held: how long ``unique`` is taken: 0 (there is none), ``UNTIL_STARTED``,
            ``UNTIL_ENDED`` or ``FOR_A_PERIOD``.
        until: when the period ends, milliseconds; None without one.
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
    """A row this process holds.

    Attributes:
        flaw: why the row cannot be read, when something else wrote it; such a job is dead.
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
    flaw: str | None = None


class Finish(NamedTuple):
    """How a claimed job is given back.

    Attributes:
        state: ``completed``, ``retrying``, ``scheduled``, ``available``, ``dead`` or
            ``cancelled``.
        run_at: when it may run again, milliseconds; kept for finished ones.
        counted: whether this attempt counts.
        error: why it failed; None clears it.
    """

    state: str
    run_at: int
    counted: bool
    error: str | None


class Ledger:
    """The statements over ``rolehost_jobs``; without time, randomness or policy of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Rows that another transaction is claiming are passed over, not waited for. ANY(ARRAY())
        # has the rows chosen once, before the update; a plan for IN may choose again and take
        # more than the limit.
        chosen, skip = "IN ({rows})", ""
        self._skips = "skip-locked" in database.capabilities
        if self._skips:
            chosen, skip = "= ANY(ARRAY({rows}))", " FOR UPDATE SKIP LOCKED"
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
        """Insert one job.

        Args:
            tx: an open transaction.
            job: the row.
            conflict: as :attr:`rolehost.api.Unique.conflict`.

        Returns:
            Its id and True; or, when ``unique`` is taken, the id of the job that has it and
            False.

        Raises:
            PayloadError: a job of another actor has it, and would be changed.
        """
        if job.unique is None:
            return tx.execute(f"{_INSERT} RETURNING id", job).fetchone()[0], True
        sql = f"{_INSERT} ON CONFLICT (unique_key) WHERE {HOLDS} DO NOTHING RETURNING id"
        while True:
            row = tx.execute(sql, job).fetchone()
            if row is not None:
                return row[0], True
            found = self._meet(tx, job, conflict)
            # Another transaction may have taken or finished that job between the statements.
            if found is not None:
                return found, False

    def _meet(self, tx: Transaction, job: NewJob, conflict: str) -> int | None:
        """Return the id of the job that has a unique text; None when it is free by now.

        A job that waits is locked until this transaction ends, and claims pass it over: else it
        could run, and read, before what this transaction wrote is committed.
        """
        expired = tx.execute(
            f"UPDATE rolehost_jobs SET unique_held = 0 WHERE unique_key = ?"
            f" AND unique_held = {FOR_A_PERIOD} AND unique_until <= ?",
            (job.unique, job.enqueued_at),
        ).rowcount
        if expired:
            return None
        waits = f"unique_key = ? AND {HOLDS} AND state IN {_WAITING_SQL}"
        if conflict == "keep":
            lock = " FOR SHARE" if self._skips else ""
            found = tx.execute(
                f"SELECT id FROM rolehost_jobs WHERE {waits}{lock}", (job.unique,)
            ).fetchone()
        else:
            values: tuple[Any, ...] = (job.arguments,)
            change = "arguments = ?"
            if conflict == "move":
                values = (job.state, job.run_at)
                change = "state = ?, run_at = ?"
            found = tx.execute(
                f"UPDATE rolehost_jobs SET {change} WHERE {waits} AND actor = ? RETURNING id",
                (*values, job.unique, job.actor),
            ).fetchone()
        if found is None:
            found = tx.execute(
                f"SELECT id, actor, state FROM rolehost_jobs WHERE unique_key = ? AND {HOLDS}",
                (job.unique,),
            ).fetchone()
            if found is not None and conflict != "keep" and found[1] != job.actor:
                raise PayloadError(
                    f"enqueueing actor {job.actor}: unique {job.unique!r} is taken by job"
                    f" {found[0]} of actor {found[1]}, which cannot be changed for another"
                )
            if found is not None and found[2] not in ("claimed", "running", *OVER):
                return None
        return None if found is None else int(found[0])

    def insert_many(self, tx: Transaction, jobs: Sequence[NewJob]) -> None:
        """Insert jobs in bulk; none of them may have a ``unique``."""
        tx.executemany(_INSERT, jobs)

    def promote(self, tx: Transaction, now: int) -> int:
        """Make rows available whose time has come; return how many."""
        due = "state IN ('scheduled', 'retrying') AND run_at <= ?"
        if self._skips:
            # A job that a transaction holds back is for the next look, not waited for.
            due = (
                f"id = ANY(ARRAY(SELECT id FROM rolehost_jobs WHERE {due} FOR UPDATE SKIP LOCKED))"
            )
        return tx.execute(
            f"UPDATE rolehost_jobs SET state = 'available' WHERE {due}", (now,)
        ).rowcount

    def claim(
        self, tx: Transaction, queue: str, actors: Collection[str], owner: str, limit: int
    ) -> list[ClaimedJob]:
        """Claim up to ``limit`` rows of a queue, best first.

        Rows of other actors than ``actors`` are left for processes that know them.
        """
        names = ", ".join("?" * len(actors))
        rows = tx.execute(
            self._claim.replace("{actors}", names),
            (owner, queue, *actors, limit),
        ).fetchall()
        # PostgreSQL keeps the types of its columns; SQLite lets anything be written there.
        loose = self._database.dialect == "sqlite"
        jobs = [
            _flawed(row) if loose and {*map(type, _INTEGERS(row))} != _INTEGER else ClaimedJob(*row)
            for row in rows
        ]
        jobs.sort(key=lambda job: (job.priority, job.run_at, job.id))
        return jobs

    def next_due(self) -> int | None:
        """Return when the next waiting row becomes available, milliseconds; None without any."""
        rows = self._database.read(
            "SELECT min(run_at) FROM rolehost_jobs WHERE state IN ('scheduled', 'retrying')"
        )
        due = rows[0][0]
        # SQLite holds text in a column of integers, and finds it greater than any.
        return due if isinstance(due, int) else None

    def ready(self, queue: str, actors: Collection[str]) -> bool:
        """Say whether a claim would find something; takes no write lock."""
        names = ", ".join("?" * len(actors))
        return bool(
            self._database.read(
                "SELECT 1 FROM rolehost_jobs WHERE state = 'available' AND queue = ?"
                f" AND actor IN ({names}) LIMIT 1",
                (queue, *actors),
            )
        )

    def cancelled(self, owner: str) -> set[tuple[int, int]]:
        """Return the cancelled jobs that a process holds, as ids and tokens."""
        rows = self._database.read(
            "SELECT id, token FROM rolehost_jobs WHERE owner = ?"
            " AND state IN ('claimed', 'running') AND cancel = 1",
            (owner,),
        )
        return {(number, token) for number, token in rows}

    def start(self, tx: Transaction, job: ClaimedJob, now: int) -> bool:
        """Mark a claimed row as started; False when the claim is no longer ours."""
        return (
            tx.execute(
                "UPDATE rolehost_jobs SET state = 'running', started_at = ?"
                " WHERE id = ? AND token = ? AND state IN ('claimed', 'running')",
                (now, job.id, job.token),
            ).rowcount
            == 1
        )

    def finish(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Give one claimed row back; False when the claim is no longer ours."""
        return tx.execute(_FINISH, _finish_params(job, end, now)).rowcount == 1

    def conclude(self, tx: Transaction, job: ClaimedJob, end: Finish, now: int) -> bool:
        """Give one claimed row back as the last statement of its transaction.

        Returns:
            False when the claim is no longer ours: the transaction has to be rolled back.
        """
        return tx.conclude(_FINISH, _finish_params(job, end, now))

    def finish_many(
        self, tx: Transaction, ends: Iterable[tuple[ClaimedJob, Finish]], now: int
    ) -> None:
        """Give several rows back; those whose claim is no longer ours are left alone."""
        if self._database.dialect == "sqlite":
            tx.executemany(_FINISH, [_finish_params(job, end, now) for job, end in ends])
            return
        # PERF: with a server between, one statement for all is three times as fast as many; and
        # what most jobs come to is told in three arrays, that cost no parsing.
        completed: list[tuple[int, int, int]] = []
        rows: list[tuple[Any, ...]] = []
        for job, end in ends:
            if end.state == "completed" and end.counted and end.error is None:
                completed.append((job.id, job.token, end.run_at))
            else:
                rows.append(_finish_params(job, end, now))
        if completed:
            tx.execute(_COMPLETE, (now, *map(_array, zip(*completed, strict=True))))
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(part))
            sql = _FINISH_TOGETHER.replace("{rows}", marks)
            tx.execute(sql, [value for row in part for value in row])

    def release(self, tx: Transaction, owner: str) -> set[str]:
        """Hand back all rows of a process that died; return the queues to wake.

        Whatever it had claimed is under suspicion from now on, so that the next start is
        recorded; only a row whose start had been recorded is charged with the crash.
        """
        rows = tx.execute(
            "UPDATE rolehost_jobs SET crashes = crashes + (CASE WHEN state = 'running'"
            " AND suspect = 1 THEN 1 ELSE 0 END), suspect = 1, state = 'available',"
            " owner = NULL WHERE owner = ? AND state IN ('claimed', 'running') RETURNING queue",
            (owner,),
        ).fetchall()
        return {row[0] for row in rows}

    def hand_back(self, tx: Transaction, owner: str) -> None:
        """Make available, uncounted, what a process still holds that ends in good order."""
        tx.execute(
            "UPDATE rolehost_jobs SET state = 'available', owner = NULL"
            " WHERE owner = ? AND state IN ('claimed', 'running')",
            (owner,),
        )

    def let_go(self, tx: Transaction, queue: str, owner: str, known: Sequence[int]) -> None:
        """Make available, uncounted, what a process holds of a queue without knowing it.

        A claim may have been committed although its answer was lost with the connection.

        Args:
            tx: an open transaction.
            queue: the queue.
            owner: id of the process.
            known: ids of the rows that it knows it holds.
        """
        others = f" AND id NOT IN ({', '.join('?' * len(known))})" if known else ""
        tx.execute(
            "UPDATE rolehost_jobs SET state = 'available', owner = NULL"
            f" WHERE owner = ? AND queue = ? AND state IN ('claimed', 'running'){others}",
            (owner, queue, *known),
        )

    def strays(self) -> list[str]:
        """Return owners of claimed rows that have no presence, as after a process was frozen."""
        rows = self._database.read(
            "SELECT DISTINCT owner FROM rolehost_jobs WHERE state IN ('claimed', 'running')"
            " AND owner NOT IN (SELECT id FROM rolehost_processes)"
        )
        return [row[0] for row in rows]

    def trim(
        self, tx: Transaction, states: Sequence[str], before: int, limit: int, now: int
    ) -> int:
        """Delete up to ``limit`` finished rows older than ``before`` milliseconds.

        Those stay that are unique for a period which is not over at ``now``.
        """
        marks = ", ".join("?" * len(states))
        return tx.execute(
            "DELETE FROM rolehost_jobs WHERE id IN (SELECT id FROM rolehost_jobs"
            f" WHERE state IN ({marks}) AND finished_at < ?"
            f" AND (unique_held <> {FOR_A_PERIOD} OR unique_until <= ?) LIMIT ?)",
            (*states, before, now, limit),
        ).rowcount


_FINISH = (
    "UPDATE rolehost_jobs SET state = ?, run_at = ?, attempt = attempt + ?, error = ?,"
    " finished_at = ?, owner = NULL"
    " WHERE id = ? AND token = ? AND state IN ('claimed', 'running')"
)
#: Rows given back by one statement.
_TOGETHER = 500
#: The same for many rows. A column of nothing but NULLs has to be told its type.
_FINISH_TOGETHER = (
    "UPDATE rolehost_jobs SET state = ends.column1, run_at = ends.column2,"
    " attempt = attempt + ends.column3, error = ends.column4,"
    " finished_at = CAST(ends.column5 AS BIGINT), owner = NULL"
    " FROM (VALUES {rows}) AS ends"
    " WHERE id = ends.column6 AND token = ends.column7 AND state IN ('claimed', 'running')"
)
#: The same for rows that are completed without more to say: their ids, tokens and times.
_COMPLETE = (
    "UPDATE rolehost_jobs SET state = 'completed', run_at = ends.at, attempt = attempt + 1,"
    " error = NULL, finished_at = ?, owner = NULL"
    " FROM unnest(CAST(? AS BIGINT[]), CAST(? AS BIGINT[]), CAST(? AS BIGINT[]))"
    " AS ends (job, fence, at)"
    " WHERE id = ends.job AND token = ends.fence AND state IN ('claimed', 'running')"
)
#: States of a job that is over.
OVER = frozenset({"completed", "cancelled", "dead"})


#: Columns of a claimed row that hold texts, and bytes; the others hold integers.
_TEXTS = ("queue", "actor", "arguments", "key", "cause")
_NAMES = _CLAIMED.split(", ")
_INTEGERS = itemgetter(*(index for index, name in enumerate(_NAMES) if name not in _TEXTS))
_INTEGER = {int}


def _flawed(row: Sequence[Any]) -> ClaimedJob:
    """Make a job of a row that cannot be read, with zeros for what are no integers."""
    columns = dict(zip(_NAMES, row, strict=True))
    wrong = [
        name for name, value in columns.items() if name not in _TEXTS and type(value) is not int
    ]
    flaw = f"its row cannot be read: no integer in {', '.join(wrong)}"
    return ClaimedJob(**{**columns, **dict.fromkeys(wrong, 0)}, flaw=flaw)


def _finish_params(job: ClaimedJob, end: Finish, now: int) -> tuple[Any, ...]:
    return (
        end.state,
        end.run_at,
        1 if end.counted else 0,
        None if end.error is None else storable(end.error),
        now if end.state in OVER else None,
        job.id,
        job.token,
    )


def _array(numbers: Iterable[int]) -> str:
    """Return PostgreSQL's text of an array
    (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO)."""
    return "{" + ",".join(map(str, numbers)) + "}"
