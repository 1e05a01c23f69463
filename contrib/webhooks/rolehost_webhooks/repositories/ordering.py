"""Ids in commit order, so that paging does not miss rows that are inserted at the same time.

A writer gets an id above all visible ids. On SQLite this is sufficient, because only one
transaction writes at a time. On PostgreSQL a transaction that started earlier may commit later.
Therefore each writer takes a shared advisory lock before it reads the highest id, and holds it
until it commits. A listing reads the highest id, waits for the writers that hold the lock at
that moment, and shows no row above that id. Later writers get higher ids.
"""

from __future__ import annotations

import logging
import time
import zlib
from typing import Any

import peewee
from rolehost.api import Services

from rolehost_webhooks import ids

log = logging.getLogger(__name__)

#: First key of the advisory locks: "whks" in ASCII. The second key identifies the table.
LOCK_CLASS = int.from_bytes(b"whks", "big")

#: Tolerated clock skew of other hosts in milliseconds. Ids further in the future are ignored,
#: because otherwise one wrong clock would determine the time of all later ids.
AHEAD = 10_000

#: Timeout and poll interval in seconds while a listing waits for writers.
WRITERS_TIMEOUT = 2.0
POLL_INTERVAL = 0.002

#: The other sessions in this database that write to a table.
_WRITERS = """
    SELECT pid, virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = %s AND objid = %s AND objsubid = 2
"""


def next_id(model: type[peewee.Model], prefix: str, services: Services) -> str:
    """Return the id for a row that is inserted in this unit of work.

    It is above the ids of all rows committed before, except those whose clock was ahead by more
    than ten seconds.
    """
    made = ids.new(prefix, services)
    latest = ids.last_at(prefix, services.clock.now() + AHEAD)
    step = 1 + int.from_bytes(services.random.randbytes(ids.STEP_BYTES))
    return ids.above(made, _highest_id(model, latest), step)


def exclude_uncommitted(select: Any, column: peewee.Field) -> Any:
    """Limit a select to ids below which no new row can appear; may wait for writers.

    Rows committed before the call are always included. A select that is not ordered by ids from
    :func:`next_id` is returned unchanged.
    """
    model = column.model
    database = model._meta.database
    if not database.for_update or column is not model._meta.primary_key:
        return select
    table = model._meta.table_name
    keys = (LOCK_CLASS, _lock_key(table))
    # One statement, so that the highest id (from its snapshot) is read before pg_locks.
    sql = f"SELECT (SELECT max({column.column_name}) FROM {table}), pid, virtualtransaction"
    sql += f" FROM (SELECT 1) AS one LEFT JOIN ({_WRITERS}) AS writer ON true"
    rows = database.execute_sql(sql, keys).fetchall()
    highest = rows[0][0]
    if highest is None:
        return select
    _wait_for_writers(database, keys, {tuple(row[1:]) for row in rows if row[1] is not None})
    return select.where(column <= highest)


def _highest_id(model: type[peewee.Model], latest: str) -> str | None:
    """Return the highest id up to ``latest``; on PostgreSQL, take the writers' lock first."""
    database = model._meta.database
    table = model._meta.table_name
    highest: str | None
    if not database.for_update:
        found = database.execute_sql(f"SELECT max(id) FROM {table} WHERE id <= ?", (latest,))
        (highest,) = found.fetchone()
        return highest
    # Two statements, so that the snapshot of the second is taken after the lock.
    cursor = database.execute_sql(
        f"SELECT pg_advisory_xact_lock_shared(%s, %s);SELECT max(id) FROM {table} WHERE id <= %s",
        (LOCK_CLASS, _lock_key(table), latest),
    )
    (highest,) = cursor.fetchone()
    return highest


def _wait_for_writers(database: Any, keys: tuple[int, int], writers: set[Any]) -> None:
    until = time.monotonic() + WRITERS_TIMEOUT
    while writers:
        if time.monotonic() > until:
            pids = ", ".join(str(pid) for pid, _ in writers)
            log.warning("a listing no longer waits for transactions of PostgreSQL's pids %s", pids)
            return
        time.sleep(POLL_INTERVAL)
        writers &= {tuple(row) for row in database.execute_sql(_WRITERS, keys).fetchall()}


def _lock_key(table: str) -> int:
    """Return the second key of a table's lock: 31 bits of the checksum of its name."""
    return zlib.crc32(table.encode()) & 0x7FFF_FFFF
