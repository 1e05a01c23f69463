"""Reads and locks the waiting jobs of partitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rolehost.delivery.limits import Partition
from rolehost.delivery.statements import array
from rolehost.storage import Database, Transaction

_OF_PARTITION = (
    "SELECT id, actor, queue, state, priority, run_at FROM rolehost_jobs"
    " WHERE partition_id = {name} AND state = 'available' AND key IS NULL"
    " ORDER BY priority, run_at, id LIMIT ?"
)
_OF_KEY = (
    "SELECT id, actor, queue, state, 0 AS priority, 0 AS run_at FROM rolehost_jobs"
    " WHERE key = {name} AND state IN"
    " ('available', 'scheduled', 'claimed', 'running', 'retrying') ORDER BY id LIMIT ?"
)


class WaitingJob(NamedTuple):
    """A job that a claim may take; for a key, any unfinished job."""

    id: int
    actor: str
    queue: str
    state: str
    priority: int
    run_at: int


class WaitingJobs:
    """The waiting jobs of partitions: by id for a key, otherwise by priority."""

    def __init__(self, database: Database) -> None:
        self._postgres = database.dialect == "postgresql"

    def read(
        self, tx: Transaction, partitions: Sequence[Partition], most: int
    ) -> dict[int, list[WaitingJob]]:
        """Return up to ``most`` jobs of each partition, by the id of the partition."""
        found: dict[int, list[WaitingJob]] = {}
        keys = {each.name: each.id for each in partitions if each.kind == "key"}
        others = {each.id: each.id for each in partitions if each.kind != "key"}
        for kind, sql, numbers in (("TEXT", _OF_KEY, keys), ("BIGINT", _OF_PARTITION, others)):
            for name, *columns in self._rows(tx, kind, sql, list(numbers), most):
                found.setdefault(numbers[name], []).append(WaitingJob(*columns))
        return found

    def _rows(
        self, tx: Transaction, kind: str, sql: str, names: list[Any], most: int
    ) -> Iterator[Sequence[Any]]:
        """Return the name of the partition and the columns of each job."""
        if self._postgres and names:
            # PERF: one statement for all partitions. LATERAL reads each by its index.
            yield from tx.execute(
                f"SELECT p.name, j.* FROM unnest(CAST(? AS {kind}[])) AS p (name)"
                f" CROSS JOIN LATERAL ({sql.format(name='p.name')}) AS j"
                " ORDER BY p.name, j.priority, j.run_at, j.id",
                (names, most),
            )
            return
        for name in names:
            for row in tx.execute(sql.format(name="?"), (name, most)).fetchall():
                yield name, *row

    def lock(self, tx: Transaction, numbers: Sequence[int]) -> set[int]:
        """Lock waiting jobs until the transaction ends; return those not locked by another."""
        if not self._postgres or not numbers:
            return set(numbers)
        rows = tx.execute(
            "SELECT id, state FROM rolehost_jobs WHERE id = ANY(CAST(? AS BIGINT[]))"
            " FOR UPDATE SKIP LOCKED",
            (array(numbers),),
        ).fetchall()
        # Filtered here, because with a condition the planner may read a whole index of waiting
        # rows.
        return {number for number, state in rows if state == "available"}
