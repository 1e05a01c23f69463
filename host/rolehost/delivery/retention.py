"""Retention: deletes finished jobs, attempts, marks, responses and partitions in short slices.

A slice is one transaction; it skips rows that others have locked.
"""

from __future__ import annotations

from typing import NamedTuple

from rolehost.delivery.jobs import FOR_A_PERIOD
from rolehost.delivery.runtime import DeliveryRuntime

#: Maximum number of rows deleted in one transaction, so that the write lock is held briefly.
BATCH = 1000
#: Milliseconds for which an empty partition is kept after its last claim.
_KEEP_PARTITION = 3_600_000

#: A job that is unique for a period stays until the period is over. (SQLite uses a partial index
#: only if the whole condition of the index is in the statement.)
_ENDED = (
    "state = '{state}' AND state IN ('completed', 'cancelled', 'dead')"
    f" AND (unique_held <> {FOR_A_PERIOD} OR unique_until <= ?)"
)
#: A partition without jobs whose rate delays no further job. A later job creates it again.
_IDLE = (
    "open = 0 AND held = 0 AND due_at_us IS NULL AND next_at_us < ? AND NOT EXISTS"
    " (SELECT 1 FROM rolehost_jobs WHERE partition_id = rolehost_partitions.id"
    " AND state = 'available' AND key IS NULL) AND (kind <> 'key' OR NOT EXISTS"
    " (SELECT 1 FROM rolehost_jobs WHERE key = rolehost_partitions.name AND state IN"
    " ('available', 'scheduled', 'claimed', 'running', 'retrying')))"
)


class _Kind(NamedTuple):
    """Rows that expire ``keep`` seconds after the time in ``column``.

    ``key`` are the columns that identify a row in SQLite. A parameter in ``condition`` is the
    current time. ``unit`` is the number of units of ``column`` in a millisecond.
    """

    table: str
    key: str
    condition: str
    column: str
    keep: float
    unit: int = 1


class Retention:
    """Deletes rows past their retention; for one thread."""

    def __init__(self, runtime: DeliveryRuntime) -> None:
        self._runtime = runtime
        self._kinds: list[_Kind] = []
        self._since = 0

    def step(self) -> tuple[int, bool]:
        """Delete a slice; return the number of its rows, and whether another one may follow.

        After the last slice, the next call begins again.
        """
        if not self._kinds:
            self._kinds, self._since = self._all(), 0
        kind = self._kinds[0]
        now = self._runtime.clock.now()
        params = [self._since, (now - int(kind.keep * 1000)) * kind.unit, BATCH]
        if "?" in kind.condition:
            params.insert(0, now * kind.unit)
        with self._runtime.database.session(), self._runtime.database.transaction() as tx:
            rows = tx.execute(self._sql(kind), params).fetchall()
        # PERF: the next slice does not walk over the entries of deleted rows.
        self._since = max((row[0] for row in rows), default=0)
        if len(rows) < BATCH:
            del self._kinds[0]
            self._since = 0
        return len(rows), bool(self._kinds)

    def _all(self) -> list[_Kind]:
        policy = self._runtime.policy
        event = "consumer_group, event"
        ended = [
            _Kind("jobs", "id", _ENDED.format(state=state), "finished_at", keep)
            for state, keep in (
                ("completed", policy.keep_completed),
                ("cancelled", policy.keep_completed),
                ("dead", policy.keep_dead),
            )
        ]
        return [
            *ended,
            _Kind("attempts", "id", "true", "ended_at", policy.keep_dead),
            _Kind("inbox", event, "true", "handled_at", policy.keep_inbox),
            _Kind("started_events", event, "true", "started_at", policy.keep_inbox),
            _Kind("requests", "key", "true", "created_at", policy.keep_idempotency),
            _Kind("dead_events", "id", "true", "died_at", policy.keep_dead),
            _Kind("partitions", "id", _IDLE, "turn", _KEEP_PARTITION / 1000, unit=1000),
        ]

    def _sql(self, kind: _Kind) -> str:
        key, chosen = kind.key, "IN ({rows})"
        if "skip-locked" in self._runtime.database.capabilities:
            key, chosen = "ctid", "= ANY(ARRAY({rows} FOR UPDATE SKIP LOCKED))"
        rows = (
            f"SELECT {key} FROM rolehost_{kind.table} WHERE {kind.condition}"
            f" AND {kind.column} >= ? AND {kind.column} < ? ORDER BY {kind.column} LIMIT ?"
        )
        return (
            f"DELETE FROM rolehost_{kind.table} WHERE ({key}) {chosen.format(rows=rows)}"
            f" RETURNING {kind.column}"
        )


def delete_expired(runtime: DeliveryRuntime) -> int:
    """Delete all rows past their retention, slice after slice; return how many rows."""
    retention = Retention(runtime)
    total, more = retention.step()
    while more:
        count, more = retention.step()
        total += count
    return total
