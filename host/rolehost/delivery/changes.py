"""Changes of partitions: appended by anyone, applied by claimers.

A *change* is a row that asks to look at a partition again, because a job of it became available or
a claim of it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from rolehost.delivery.limits import Name
from rolehost.delivery.scans import ScanStart
from rolehost.delivery.statements import marks
from rolehost.storage import Database, Transaction

#: Most changes, and most due partitions, that are applied at once, and how often in one claim.
_CHANGES, _ROUNDS = 1000, 20
#: The advisory lock of the process that applies changes: "changes" in ASCII.
_LOCK = int.from_bytes(b"changes", "big")
#: Two schemas of one database have separate locks. A claim holds this lock and those of limits and
#: partitions, which others pass over, so the server ends it early if its host is lost.
_TRY_LOCK = (
    "SELECT pg_try_advisory_xact_lock(? + CAST(CAST('rolehost_partition_changes' AS regclass)"
    " AS oid)::bigint), set_config('idle_in_transaction_session_timeout', '3s', true)"
)
_FIRST_OF_KEY = (
    "SELECT queue, actor, state FROM rolehost_jobs WHERE key = ? AND state IN"
    " ('available', 'scheduled', 'claimed', 'running', 'retrying') ORDER BY id LIMIT 1"
)


class Change(NamedTuple):
    """A row of ``rolehost_partition_changes``; ``freed`` claims of the partition have ended."""

    partition_id: int
    kind: str
    name: str
    queue: str
    actor: str
    freed: int


def change(name: Name, freed: int = 0) -> Change:
    """Make the change of one partition."""
    return Change(name.id, name.kind, name.value, name.queue, name.actor, freed)


def append(tx: Transaction, changes: Iterable[Change]) -> None:
    """Append changes, one for each partition and actor, with the sum of ``freed``."""
    freed: dict[Change, int] = defaultdict(int)
    for each in changes:
        freed[each._replace(freed=0)] += each.freed
    if freed:
        tx.executemany(
            "INSERT INTO rolehost_partition_changes (partition_id, kind, name, queue, actor, freed)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(*same[:-1], count) for same, count in freed.items()],
        )


class Changes:
    """Applies changes; for one claimer, used by one thread."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._postgres = database.dialect == "postgresql"
        self._skip = " FOR UPDATE SKIP LOCKED" if self._postgres else ""
        #: Where changes are read from, by id.
        self.start = ScanStart(0, clock)
        #: Where partitions whose rate admits a job are read from, by ``due_at_us``.
        self.due_start = ScanStart(0, clock)

    def apply(self, tx: Transaction, now: int) -> None:
        """Apply changes, and open partitions whose rate admits a job; ``now``: milliseconds.

        Changes of rows that another claimer has locked are left for the next call. One process
        applies changes at a time, so that two never wait for each other's new partitions.
        """
        for _ in range(_ROUNDS):
            if self._apply_some(tx, now) < _CHANGES:
                return

    def _apply_some(self, tx: Transaction, now: int) -> int:
        """Apply the oldest changes; return how many."""
        if self._postgres:
            [(locked, _)] = tx.execute(_TRY_LOCK, (_LOCK,)).fetchall()
            if not locked:
                return 0
        changes = self._read(tx)
        due = self._due(tx, now)
        if not changes and not due:
            return 0
        wanted = {each.partition_id for each in changes.values()} | due
        known = self._select(tx, "rolehost_partitions", "id", wanted)
        held = self._select(tx, "rolehost_partitions", "id", wanted, self._skip)
        counted = self._counted(tx, changes.values())
        done = {
            number: each
            for number, each in changes.items()
            if (each.partition_id in held or each.partition_id not in known)
            and not (each.freed and _limits(each) & counted)
        }
        self._open(tx, done.values(), known, due & held)
        _free(tx, done.values())
        _delete(tx, list(done))
        return len(done)

    def _read(self, tx: Transaction) -> dict[int, Change]:
        start = self.start.begin()
        rows = tx.execute(
            "SELECT id, partition_id, kind, name, queue, actor, freed"
            " FROM rolehost_partition_changes WHERE id >= ? ORDER BY id LIMIT ?",
            (start, _CHANGES),
        ).fetchall()
        # The first one that is left is the begin of the next scan.
        self.start.end(rows[0][0] if rows else None)
        return {number: Change(*columns) for number, *columns in rows}

    def _due(self, tx: Transaction, now: int) -> set[int]:
        rows = tx.execute(
            "SELECT id, due_at_us FROM rolehost_partitions WHERE due_at_us >= ? AND due_at_us <= ?"
            " ORDER BY due_at_us LIMIT ?",
            (self.due_start.begin(), now * 1000, _CHANGES),
        ).fetchall()
        self.due_start.end(rows[0][1] if rows else None)
        return {row[0] for row in rows}

    def _select(
        self, tx: Transaction, table: str, column: str, wanted: Collection[Any], lock: str = ""
    ) -> set[Any]:
        if not wanted:
            return set()
        sql = f"SELECT {column} FROM {table} WHERE {column} IN ({marks(wanted)}){lock}"
        return {row[0] for row in tx.execute(sql, tuple(wanted)).fetchall()}

    def _counted(self, tx: Transaction, changes: Iterable[Change]) -> set[str]:
        """Lock the limits that freed places count in; return those that another has locked."""
        names = set[str]().union(*(_limits(each) for each in changes if each.freed))
        known = self._select(tx, "rolehost_limits", "name", names)
        return known - self._select(tx, "rolehost_limits", "name", known, self._skip)

    def _open(
        self, tx: Transaction, changes: Iterable[Change], known: set[int], due: set[int]
    ) -> None:
        """Open the partitions; a key is open if its first job is available and none is held."""
        freed: dict[int, int] = defaultdict(int)
        last: dict[int, Change] = {}
        for each in changes:
            freed[each.partition_id] += each.freed
            last[each.partition_id] = each
        new = [each for number, each in last.items() if number not in known]
        tx.executemany(
            "INSERT INTO rolehost_partitions (id, kind, name, queue, actor, open, turn)"
            " VALUES (?, ?, ?, ?, ?, 0, 0)",
            [each[:-1] for each in new],
        )
        tx.executemany(
            "UPDATE rolehost_partitions SET open = 1, due_at_us = NULL,"
            " held = (CASE WHEN held > ? THEN held - ? ELSE 0 END) WHERE id = ?",
            [(freed[number], freed[number], number) for number in sorted(due | set(last))],
        )
        for number, each in last.items():
            if each.kind == "key":
                self._open_key(tx, number, each.name)

    def _open_key(self, tx: Transaction, number: int, key: str) -> None:
        """Open the partition of a key where its first job is; close it if that cannot run."""
        first = tx.execute(_FIRST_OF_KEY, (key,)).fetchone()
        queue, actor, state = first or ("", "", "")
        tx.execute(
            "UPDATE rolehost_partitions SET queue = ?, actor = ?,"
            " open = (CASE WHEN held = 0 THEN ? ELSE 0 END) WHERE id = ?",
            (queue, actor, int(state == "available"), number),
        )


def _limits(change: Change) -> set[str]:
    return {f"actor:{change.actor}", f"queue:{change.queue}"}


def _free(tx: Transaction, changes: Iterable[Change]) -> None:
    freed: dict[str, int] = defaultdict(int)
    for each in changes:
        for name in _limits(each):
            freed[name] += each.freed
    tx.executemany(
        "UPDATE rolehost_limits SET held = (CASE WHEN held > ? THEN held - ? ELSE 0 END)"
        " WHERE name = ?",
        [(count, count, name) for name, count in freed.items() if count],
    )


def _delete(tx: Transaction, numbers: Sequence[int]) -> None:
    if numbers:
        tx.execute(
            f"DELETE FROM rolehost_partition_changes WHERE id IN ({marks(numbers)})",
            tuple(numbers),
        )
