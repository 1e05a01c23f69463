"""Part of ``upgrade``: how long statements wait while a table of a million jobs is migrated."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from rolehost import schema
from rolehost.api import Secret
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings

from benchmarks.postgres import execute
from tests.proofs.kit import Task

#: Rows of the table, half of them waiting and half completed, and the last schema before limits.
JOBS, BEFORE = 1_000_000, 4

#: The longest that an insertion and a claim may take during the migrations, milliseconds.
LONGEST = 1000.0

_FILL = f"""
    INSERT INTO rolehost_jobs
        (queue, actor, state, priority, run_at, arguments, enqueued_at, finished_at)
    SELECT 'queue', 'actor ' || i % 20, CASE i % 2 WHEN 0 THEN 'available' ELSE 'completed' END, 0,
        1700000000000, convert_to('{{"number":' || i || '}}', 'UTF8'), 1700000000000,
        CASE i % 2 WHEN 0 THEN NULL ELSE 1700000000000 + i END
    FROM generate_series(1, {JOBS}) AS i
"""
_INSERT = (
    "INSERT INTO rolehost_jobs (queue, actor, state, priority, run_at, arguments, enqueued_at)"
    " VALUES ('queue', 'actor', 'available', 0, 1700000000000, '\\x7b7d', 1700000000000)"
)
_CLAIM = (
    "UPDATE rolehost_jobs SET state = 'claimed' WHERE id = (SELECT id FROM rolehost_jobs WHERE"
    " state = 'available' AND queue = 'queue'{unlimited} ORDER BY priority, run_at, id LIMIT 1"
    " FOR UPDATE SKIP LOCKED)"
)
#: How old processes claim, which run during the phase pre, and new ones.
_CLAIMS = {
    "pre": _CLAIM.format(unlimited=""),
    "post": _CLAIM.format(unlimited=" AND partition_id IS NULL"),
}


def measure(url: str, task: Task) -> dict[str, Any]:
    """Migrate the table in an empty database; return seconds, and the longest wait."""
    sets = [schema.HOST_SET]
    with closing(PostgresDatabase(PostgresSettings(url=Secret(url)))) as database:
        schema.up(database, sets)
        later = len(schema.status(database, sets)) - BEFORE
        schema.down(database, schema.HOST_SET, steps=later)
        task.advance()
        execute(url, _FILL)
        execute(url, "VACUUM ANALYZE rolehost_jobs")
        task.advance()
        figures: dict[str, Any] = {}
        for phase, claim in _CLAIMS.items():
            with _load(url, claim) as waits:
                began = time.monotonic()
                schema.up(database, sets, phase=phase)
                figures[f"{phase}_s"] = round(time.monotonic() - began, 1)
            figures[f"{phase}_longest_ms"] = round(max(waits) * 1000)
            task.advance()
    longest = max(figures["pre_longest_ms"], figures["post_longest_ms"])
    assert longest <= LONGEST, f"an insertion and a claim took {longest} ms: {figures}"
    return figures


@contextmanager
def _load(url: str, claim: str) -> Iterator[list[float]]:
    """Insert and claim jobs during the block; collect the seconds of each pair."""
    waits, stopping, began = [], threading.Event(), threading.Event()

    def work() -> None:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stopping.is_set():
                    at = time.monotonic()
                    cursor.execute(_INSERT)
                    cursor.execute(claim)
                    waits.append(time.monotonic() - at)
                    began.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        began.wait()
        yield waits
    finally:
        stopping.set()
        thread.join()
