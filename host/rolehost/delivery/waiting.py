"""Reads and locks the waiting jobs of partitions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from rolehost.delivery.statements import among, marks, numbers
from rolehost.storage import Database, Transaction

T = TypeVar("T", int, str)
#: Waiting jobs by partition.
Found = dict[T, list["WaitingJob"]]

#: Statements for one partition, with places for the condition on its id or key.
_OF_PARTITION = (
    "SELECT id, actor, queue, state, priority, run_at FROM rolehost_jobs"
    " WHERE {condition} AND state = 'available' AND key IS NULL"
    " ORDER BY priority, run_at, id LIMIT ?"
)
_OF_KEY = (
    "SELECT id, actor, queue, state, 0 AS priority, 0 AS run_at FROM rolehost_jobs"
    " WHERE {condition} AND state IN"
    " ('available', 'scheduled', 'claimed', 'running', 'retrying'){other} ORDER BY key, id LIMIT ?"
)


class WaitingJob(NamedTuple):
    """A job of a partition: a waiting one, or, if the partition is a key, any unfinished one."""

    id: int
    actor: str
    queue: str
    state: str
    priority: int
    run_at: int


class WaitingJobs:
    """The waiting jobs of partitions: jobs of a key sorted by id, other jobs by priority."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect

    def of_partitions(
        self, tx: Transaction, ids: Sequence[int], most: int, *, lock: bool = True
    ) -> Found[int]:
        """Return the id of each partition → up to ``most`` available jobs that have no key.

        With ``lock``, their rows are locked until the transaction ends, and rows that others have
        locked are left out.
        """
        if self._dialect == "postgresql":
            # PERF: locking while reading saves another look at each row.
            sql = _OF_PARTITION.format(condition="partition_id = p.name")
            sql = _for_each("BIGINT", f"{sql} FOR UPDATE SKIP LOCKED" if lock else sql)
            return self._together(tx, sql, ids, (most,))
        sql = _OF_PARTITION.format(condition="partition_id = ?")
        return self._one_by_one(tx, sql, ids, (most,))

    def of_keys(
        self, tx: Transaction, keys: Sequence[str], most: int, ahead: Collection[int] = ()
    ) -> Found[str]:
        """Return up to ``most`` unfinished jobs of each key, except those of claims ``ahead``.

        ``ahead`` are the tokens of these claims.
        """
        other = f" AND (owner IS NULL OR token NOT IN ({marks(ahead)}))" if ahead else ""
        if self._dialect == "postgresql":
            # With ``key = …``, the planner may read the primary key in its order, with all finished
            # jobs. With BETWEEN it needs the order of (key, id), which only the index of keys has.
            condition = "key BETWEEN p.name AND p.name"
            sql = _for_each("TEXT", _OF_KEY.format(condition=condition, other=other))
            return self._together(tx, sql, keys, (*ahead, most))
        sql = _OF_KEY.format(condition="key = ?", other=other)
        return self._one_by_one(tx, sql, keys, (*ahead, most))

    def held(self, tx: Transaction, ids: Collection[int], tokens: Collection[int]) -> set[int]:
        """Return those of the jobs that are held by claims with these tokens."""
        sql = (
            f"SELECT id FROM rolehost_jobs WHERE id IN ({marks(ids)})"
            f" AND token IN ({marks(tokens)}) AND owner IS NOT NULL"
        )
        return {row[0] for row in tx.execute(sql, (*ids, *tokens)).fetchall()}

    def _together(
        self, tx: Transaction, sql: str, names: Sequence[T], rest: Sequence[int]
    ) -> Found[T]:
        found: Found[T] = {}
        if names:
            for name, *columns in tx.execute(sql, (list(names), *rest)).fetchall():
                found.setdefault(name, []).append(WaitingJob(*columns))
        return found

    def _one_by_one(
        self, tx: Transaction, sql: str, names: Sequence[T], rest: Sequence[int]
    ) -> Found[T]:
        found: Found[T] = {}
        for name in names:
            rows = tx.execute(sql, (name, *rest)).fetchall()
            if rows:
                found[name] = [WaitingJob(*row) for row in rows]
        return found

    def lock(self, tx: Transaction, ids: Sequence[int]) -> set[int]:
        """Lock waiting jobs until the transaction ends; return ids that others had not locked."""
        if self._dialect != "postgresql" or not ids:
            return set(ids)
        rows = tx.execute(
            f"SELECT id, state FROM rolehost_jobs WHERE id {among(self._dialect)}"
            " FOR UPDATE SKIP LOCKED",
            (numbers(self._dialect, ids),),
        ).fetchall()
        # The rows are filtered here, because with a condition the planner may read a whole index of
        # waiting rows.
        return {number for number, state in rows if state == "available"}


def _for_each(kind: str, sql: str) -> str:
    """Return one statement for all partitions. LATERAL reads the jobs of each by its index."""
    return (
        f"SELECT p.name, j.* FROM unnest(CAST(? AS {kind}[])) AS p (name)"
        f" CROSS JOIN LATERAL ({sql}) AS j ORDER BY p.name, j.priority, j.run_at, j.id"
    )
