"""Reads large tables in about the same time for any number of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rolehost.storage import Database

#: The condition of the index ``rolehost_jobs_listed``: all jobs that no process holds.
LISTED = "state NOT IN ('claimed', 'running')"

#: The largest exact count of a dialect. Counting this many rows takes some 20 ms.
_EXACT = {"postgresql": 10_000, "sqlite": 300_000}


def count(database: Database, table: str, condition: str, params: Sequence[Any] = ()) -> int:
    """Count rows. From ``_EXACT`` rows on, PostgreSQL estimates, and SQLite returns ``_EXACT``.

    The estimate uses the statistics of the last ANALYZE, which autovacuum runs.
    """
    most = _EXACT[database.dialect]
    rows = f"SELECT 1 FROM {table} WHERE {condition}"
    sql = f"SELECT count(*) FROM ({rows} LIMIT {most}) AS counted"
    [(exact,)] = database.read(sql, params)
    if exact < most or database.dialect == "sqlite":
        return int(exact)
    [(plan,)] = database.read(f"EXPLAIN (FORMAT JSON) {rows}", params)
    [found] = plan if isinstance(plan, list) else json.loads(plan)
    return max(most, int(found["Plan"]["Plan Rows"]))


def first_jobs(database: Database, prefix: str, rest: str, condition: str) -> list[tuple[Any, ...]]:
    """For each distinct value of the columns ``prefix``, return the first job, ordered by ``rest``.

    A result has the columns ``prefix`` and ``rest``: the columns of an index with this
    ``condition``. A *loose index scan* reads the index.
    """
    order = f"{prefix}, {rest}"
    last = ", ".join(f"last.{column}" for column in prefix.split(", "))
    first = f"SELECT id FROM rolehost_jobs WHERE {condition} {{after}} ORDER BY {order} LIMIT 1"
    return database.read(
        f"WITH RECURSIVE found (job) AS (SELECT ({first.format(after='')}) UNION ALL"
        f" SELECT ({first.format(after=f'AND ({prefix}) > ({last})')})"
        " FROM found JOIN rolehost_jobs AS last ON last.id = found.job)"
        f" SELECT {order} FROM found JOIN rolehost_jobs ON id = job"
    )
