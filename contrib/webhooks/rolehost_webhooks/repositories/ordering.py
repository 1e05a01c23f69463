"""Ids in the order of commits, so that paging misses no row that is added at the same time.

A writer gets an id above all that it can see. On SQLite that is enough, because one transaction
writes at a time. On PostgreSQL a transaction that began earlier may commit later. Therefore each
writer holds a shared advisory lock from before it looks until it commits, and a listing first
notes the highest id, then waits for the writers that hold the lock at that moment, and shows
nothing above the noted id. Those that come later get ids above it.
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

#: First key of the advisory locks: "whks" in ASCII. The second one stands for the table.
LOCKS = int.from_bytes(b"whks", "big")

#: Milliseconds by which another host's clock may be ahead and its ids still be counted from. A row
#: from further in the future is left out, or one wrong clock would give all later ids its time.
AHEAD = 10_000

#: Seconds a listing waits for a writer, and between two looks whether it has ended.
PATIENCE = 2.0
LOOK = 0.002

#: The writers of a table in this database, but for the asking one.
_WRITERS = """
    SELECT pid, virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = %s AND objid = %s AND objsubid = 2
"""


def next_id(model: type[peewee.Model], prefix: str, services: Services) -> str:
    """Return the id of a row that is inserted in this unit of work.

    It is above those of all rows that were committed before, unless their clock was ahead by
    more than ten seconds.
    """
    made = ids.new(prefix, services)
    latest = ids.last_at(prefix, services.clock.now() + AHEAD)
    step = 1 + int.from_bytes(services.random.randbytes(ids.STEP_BYTES))
    return ids.above(made, _announce(model, latest), step)


def settled(select: Any, column: peewee.Field) -> Any:
    """Restrict a select to rows below which no row can appear any more; may wait for writers.

    Rows that were committed before the call are never left out. A select that is not ordered by
    ids of :func:`next_id` is returned as it is.
    """
    model = column.model
    database = model._meta.database
    if not database.for_update or column is not model._meta.primary_key:
        return select
    table = model._meta.table_name
    keys = (LOCKS, _number(table))
    # One statement: its snapshot, and so the highest id, is older than the look at the locks.
    sql = f"SELECT (SELECT max({column.column_name}) FROM {table}), pid, virtualtransaction"
    sql += f" FROM (SELECT 1) AS one LEFT JOIN ({_WRITERS}) AS writer ON true"
    rows = database.execute_sql(sql, keys).fetchall()
    highest = rows[0][0]
    if highest is None:
        return select
    _wait(database, keys, {tuple(row[1:]) for row in rows if row[1] is not None})
    return select.where(column <= highest)


def _announce(model: type[peewee.Model], latest: str) -> str | None:
    """Return the highest id up to ``latest``; on PostgreSQL, after saying that a row will come."""
    database = model._meta.database
    if not database.for_update:
        found = model.select(peewee.fn.MAX(model.id)).where(model.id <= latest)
        highest: str | None = found.scalar()
        return highest
    table = model._meta.table_name
    # Two statements in one text: the second one's snapshot is taken under the lock.
    cursor = database.execute_sql(
        f"SELECT pg_advisory_xact_lock_shared(%s, %s);SELECT max(id) FROM {table} WHERE id <= %s",
        (LOCKS, _number(table), latest),
    )
    (highest,) = cursor.fetchone()
    return highest


def _wait(database: Any, keys: tuple[int, int], writers: set[Any]) -> None:
    until = time.monotonic() + PATIENCE
    while writers:
        if time.monotonic() > until:
            pids = ", ".join(str(pid) for pid, _ in writers)
            log.warning("a listing no longer waits for transactions of PostgreSQL's pids %s", pids)
            return
        time.sleep(LOOK)
        writers &= {tuple(row) for row in database.execute_sql(_WRITERS, keys).fetchall()}


def _number(table: str) -> int:
    """Return the second key of a table's lock: 31 bits of its name's checksum."""
    return zlib.crc32(table.encode()) & 0x7FFF_FFFF
