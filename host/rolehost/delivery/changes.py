"""Changes of partitions: appended by anyone, applied by claimers.

A *change* is a row that asks to look at a partition again, because a job of it became available or
a claim of it ended. A claimer that ends claims applies their changes itself, without a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rolehost.delivery.limits import Name, Partition
from rolehost.delivery.scans import ScanStart
from rolehost.delivery.statements import among, marks, numbers
from rolehost.delivery.waiting import WaitingJobs
from rolehost.storage import Database, Transaction

#: Most changes, and most due partitions, that are applied at once, and how often in one claim.
_CHANGES, _ROUNDS = 1000, 20
#: Changes that are applied at once at least, if there are as many.
_LEAST = 100
#: The advisory lock of the process that applies changes: "changes" in ASCII.
_LOCK = int.from_bytes(b"changes", "big")
#: Two schemas of one database have separate locks. While a claim holds this lock and locks of rows,
#: other claims pass over them. So the server soon ends the transaction of a claimer that is lost.
_TRY_LOCK = (
    "SELECT pg_try_advisory_xact_lock(? + CAST(CAST('rolehost_partition_changes' AS regclass)"
    " AS oid)::bigint), {found},"
    " set_config('idle_in_transaction_session_timeout', '3s', true)"
)
_FOUND = (
    "EXISTS (SELECT 1 FROM rolehost_partition_changes WHERE id >= ?)"
    " OR EXISTS (SELECT 1 FROM rolehost_partitions WHERE due_at_us BETWEEN ? AND ?)"
    ", EXISTS (SELECT 1 FROM rolehost_limits)"
)
#: Like _FOUND, for one queue. It reads more than a few rows only if another queue has many changes.
_FOUND_OF_QUEUE = (
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM rolehost_partition_changes WHERE id >= ? AND queue = ?)"
    " OR EXISTS (SELECT 1 FROM rolehost_partitions"
    " WHERE due_at_us BETWEEN ? AND ? AND queue = ?)"
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
    """Append changes, one for each partition and actor."""
    rows = _merged(changes)
    if rows:
        tx.executemany(
            "INSERT INTO rolehost_partition_changes (partition_id, kind, name, queue, actor, freed)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )


def reopen(tx: Transaction, queue: str) -> None:
    """Append changes of the partitions that a limit has closed, because limits were changed."""
    tx.execute(
        "INSERT INTO rolehost_partition_changes (partition_id, kind, name, queue, actor, freed)"
        " SELECT id, kind, name, queue, actor, 0 FROM rolehost_partitions"
        " WHERE queue = ? AND open = 0 AND (held > 0 OR due_at_us IS NOT NULL)",
        (queue,),
    )


def _merged(changes: Iterable[Change]) -> list[Change]:
    """Return one change for each partition and actor, with the sum of ``freed``."""
    freed: dict[tuple[Any, ...], int] = defaultdict(int)
    for each in changes:
        freed[each[:-1]] += each.freed
    return [Change._make((*names, count)) for names, count in freed.items()]


def announce_forgotten(tx: Transaction) -> None:
    """Append changes for partitions that have waiting jobs, but that no claimer looks at.

    A process of a version without limits makes limited jobs available, and ends the job before
    them, without a change.
    """
    tx.execute(
        "INSERT INTO rolehost_partition_changes (partition_id, kind, name, queue, actor, freed)"
        " SELECT DISTINCT partition_id, CASE WHEN key IS NULL THEN 'partition' ELSE 'key' END,"
        " coalesce(key, partition, ''), queue, actor, 0 FROM rolehost_jobs AS j"
        " WHERE state = 'available' AND partition_id IS NOT NULL AND NOT EXISTS (SELECT 1"
        " FROM rolehost_partitions AS p WHERE p.id = j.partition_id"
        " AND (p.open = 1 OR p.held > 0 OR p.due_at_us IS NOT NULL))"
        f" LIMIT {_CHANGES}"
    )


class Changes:
    """Applies changes of all queues, for the claimer of one ``queue``; used by one thread."""

    def __init__(self, database: Database, queue: str, clock: Callable[[], int]) -> None:
        self._queue = queue
        self._dialect = database.dialect
        self._postgres = database.dialect == "postgresql"
        self._skip = " FOR UPDATE SKIP LOCKED" if self._postgres else ""
        self._waiting = WaitingJobs(database)
        #: The rows of the partitions that the last call locked.
        self.stored: dict[int, Partition] = {}
        #: Whether jobs count in any limit of an actor or a queue, as the last call found.
        self.counts = True
        #: Whether the last call left changes of this queue that could have been applied.
        self.missed = False
        #: Where changes are read from, by id.
        self.start = ScanStart(0, clock)
        #: Where partitions whose rate admits a job are read from, by ``due_at_us``.
        self.due_start = ScanStart(0, clock)

    def apply(
        self, tx: Transaction, now: int, want: int, own: Sequence[Change] = ()
    ) -> dict[int, Partition]:
        """Apply changes, and open partitions whose rate admits a job; ``now``: milliseconds.

        Return the changed partitions, which are locked or have no row yet. The caller stores them
        in this transaction. ``own`` are changes that this transaction makes. Left for the next call
        are changes of rows that another claimer has locked and, if very many wait, those that a
        claim of ``want`` jobs does not need.
        """
        changed: dict[int, Partition] = {}
        self.stored = {}
        may_apply = self._may_apply(tx, now)
        self._apply_own(tx, own, changed)
        if may_apply:
            self._apply_many(tx, now, want, changed)
        return changed

    def _may_apply(self, tx: Transaction, now: int) -> bool:
        """Return whether there are changes or due partitions, and no other process applies them.

        Two processes that insert new partitions at once would wait for each other.
        """
        sql = f"SELECT 1, {_FOUND}"
        params = [self.start.begin(), self.due_start.begin(), now * 1000]
        if self._postgres:
            sql = _TRY_LOCK.format(found=_FOUND)
            params.insert(0, _LOCK)
        [(locked, found, self.counts, *_)] = tx.execute(sql, params).fetchall()
        if found and locked:
            self.missed = False
            return True
        first, first_due, now_us = params[-3:]
        of_queue = (first, self._queue, first_due, now_us, self._queue)
        self.missed = bool(found and tx.execute(_FOUND_OF_QUEUE, of_queue).fetchall())
        self.start.end(None)
        self.due_start.end(None)
        return False

    def _apply_own(
        self, tx: Transaction, own: Sequence[Change], changed: dict[int, Partition]
    ) -> None:
        """Apply changes of this transaction; append those of rows that others have locked."""
        pending = dict(enumerate(_merged(own)))
        self.lock(tx, {each.partition_id for each in own}, changed)
        for number in self._apply_some(tx, pending, changed):
            del pending[number]
        append(tx, pending.values())
        self.missed = self.missed or bool(pending)

    def _apply_many(
        self, tx: Transaction, now: int, want: int, changed: dict[int, Partition]
    ) -> None:
        """Apply stored changes until none is left, or enough partitions for the claim are open."""
        most = min(max(want, _LEAST), _CHANGES)
        for _ in range(_ROUNDS):
            done = self._apply_stored(tx, now, changed, most)
            if len(done) < most:
                return
            # PERF: the next changes would open partitions that wait for their turn behind these,
            # while threads wait for jobs. But a place that was freed may be the only one.
            opened = sum(
                each.open and not each.held and each.queue == self._queue
                for each in changed.values()
            )
            if opened >= want and not any(each.freed for each in done):
                break
            most = _CHANGES
        self.missed = True

    def _apply_stored(
        self, tx: Transaction, now: int, changed: dict[int, Partition], most: int
    ) -> list[Change]:
        """Apply and delete the oldest stored changes, up to ``most``; return them."""
        stored = self._read(tx, most)
        due = self._due(tx, now)
        missing = self.lock(tx, {each.partition_id for each in stored.values()} | due, changed)
        # Behind the partitions that wait for their turn already.
        turn = now * 1000 - 1
        changed |= {
            each.partition_id: Partition(*each[:-1], open=0, turn=turn)
            for each in stored.values()
            if each.partition_id in missing
        }
        done = self._apply_some(tx, stored, changed)
        for number in due & changed.keys():
            changed[number] = changed[number]._replace(open=1, due_at_us=None)
        if done:
            tx.execute(
                f"DELETE FROM rolehost_partition_changes WHERE id {among(self._dialect)}",
                (numbers(self._dialect, done),),
            )
        left = (stored[number] for number in stored.keys() - done)
        self.missed = self.missed or any(each.queue == self._queue for each in left)
        return [stored[number] for number in done]

    def _read(self, tx: Transaction, most: int) -> dict[int, Change]:
        rows = tx.execute(
            "SELECT id, partition_id, kind, name, queue, actor, freed"
            " FROM rolehost_partition_changes WHERE id >= ? ORDER BY id LIMIT ?",
            (self.start.position, most),
        ).fetchall()
        # The next scan begins at the first change of this one.
        self.start.end(rows[0][0] if rows else None)
        return {number: Change(*columns) for number, *columns in rows}

    def _due(self, tx: Transaction, now: int) -> set[int]:
        rows = tx.execute(
            "SELECT id, due_at_us FROM rolehost_partitions WHERE due_at_us >= ? AND due_at_us <= ?"
            " ORDER BY due_at_us LIMIT ?",
            (self.due_start.position, now * 1000, _CHANGES),
        ).fetchall()
        self.due_start.end(rows[0][1] if rows else None)
        return {row[0] for row in rows}

    def lock(
        self, tx: Transaction, wanted: Collection[int], changed: dict[int, Partition]
    ) -> set[int]:
        """Lock partitions and add them to ``changed``; return those that do not exist."""
        wanted = set(wanted).difference(changed)
        if not wanted:
            return set()
        chosen, found = f"id {among(self._dialect)}", numbers(self._dialect, wanted)
        sql = f"SELECT {', '.join(Partition._fields)} FROM rolehost_partitions WHERE {chosen}"
        for row in tx.execute(sql + self._skip, (found,)).fetchall():
            self.stored[row[0]] = changed[row[0]] = Partition(*row)
        missing = wanted.difference(changed)
        if missing and self._postgres:
            rows = tx.execute(sql, (numbers(self._dialect, missing),)).fetchall()
            missing.difference_update(row[0] for row in rows)  # another has locked them
        return missing

    def _apply_some(
        self, tx: Transaction, changes: Mapping[int, Change], changed: dict[int, Partition]
    ) -> list[int]:
        """Apply the changes of locked partitions and limits; return their numbers.

        The partitions become open; that of a key only if its first job is available and none is
        claimed.
        """
        counted, elsewhere = self._lock_counts(tx, changes.values())
        freed: dict[str, int] = defaultdict(int)
        keys: dict[str, int] = {}
        done = []
        for number, each in changes.items():
            partition = changed.get(each.partition_id)
            if partition is None or (each.freed and _limits(each) & elsewhere):
                continue
            held = max(partition.held - each.freed, 0)
            changed[partition.id] = partition._replace(held=held, open=1, due_at_us=None)
            if each.kind == "key":
                keys[each.name] = partition.id
            for name in _limits(each) & counted:
                freed[name] += each.freed
            done.append(number)
        self._open_keys(tx, keys, changed)
        _free(tx, freed)
        return done

    def _lock_counts(self, tx: Transaction, changes: Iterable[Change]) -> tuple[set[str], set[str]]:
        """Lock the limits that freed places count in.

        Return the names of the limits that are locked now, and of those that another claimer has
        locked.
        """
        if not self.counts:
            return set(), set()
        names = set[str]().union(*(_limits(each) for each in changes if each.freed))
        sql = f"SELECT name FROM rolehost_limits WHERE name IN ({marks(names)})"
        known = {row[0] for row in tx.execute(sql, tuple(names)).fetchall()} if names else set()
        if not known or not self._postgres:
            return known, set()
        locked = {row[0] for row in tx.execute(sql + self._skip, tuple(names)).fetchall()}
        return locked, known - locked

    def _open_keys(
        self, tx: Transaction, keys: Mapping[str, int], changed: dict[int, Partition]
    ) -> None:
        """Move the partition of each key to the queue of its first job; open it if that can run."""
        first = self._waiting.of_keys(tx, list(keys), 1)
        for key, number in keys.items():
            partition, [*jobs] = changed[number], first.get(key, ())
            if jobs:
                partition = partition._replace(queue=jobs[0].queue, actor=jobs[0].actor)
            runs = bool(jobs) and jobs[0].state == "available" and not partition.held
            changed[number] = partition._replace(open=int(runs))


def _limits(change: Change) -> set[str]:
    return {f"actor:{change.actor}", f"queue:{change.queue}"}


def _free(tx: Transaction, freed: Mapping[str, int]) -> None:
    tx.executemany(
        "UPDATE rolehost_limits SET held = (CASE WHEN held > ? THEN held - ? ELSE 0 END)"
        " WHERE name = ?",
        [(count, count, name) for name, count in freed.items() if count],
    )
