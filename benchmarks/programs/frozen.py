"""The ledger's table and statements as text, as of commit 991056b.

The bare loops run these statements on a table of their own. The text does not follow the host, so
the loops stay the same measure while the ledger changes. Do not edit it.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

#: The host's defaults of 991056b: worker threads of a process, maximum rows of one claim.
THREADS, BATCH = 8, 200

#: The actors that the loops claim jobs of, and their queue.
ACTORS, QUEUE = ("answer", "effect", "nothing"), "bench"

_ACTIVE = "('available', 'scheduled', 'claimed', 'running', 'retrying')"

_SCHEMA = f"""
CREATE TABLE rolehost_jobs (
    id            {{id}} PRIMARY KEY{{rising}},
    queue         TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    run_at        {{time}} NOT NULL,
    arguments     {{bytes}} NOT NULL,
    key           TEXT,
    unique_key    TEXT,
    attempt       INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    suspect       INTEGER NOT NULL DEFAULT 0,
    cancel        INTEGER NOT NULL DEFAULT 0,
    token         {{time}} NOT NULL DEFAULT 0,
    owner         TEXT,
    enqueued_at   {{time}} NOT NULL,
    started_at    {{time}},
    finished_at   {{time}},
    error         TEXT,
    cause         TEXT
);
CREATE INDEX rolehost_jobs_ready ON rolehost_jobs (queue, priority, run_at, id)
    WHERE state = 'available';
CREATE INDEX rolehost_jobs_due ON rolehost_jobs (run_at)
    WHERE state IN ('scheduled', 'retrying');
CREATE INDEX rolehost_jobs_owner ON rolehost_jobs (owner)
    WHERE state IN ('claimed', 'running');
CREATE INDEX rolehost_jobs_finished ON rolehost_jobs (state, finished_at)
    WHERE state IN ('completed', 'cancelled', 'dead');
CREATE UNIQUE INDEX rolehost_jobs_unique ON rolehost_jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state IN {_ACTIVE};
CREATE INDEX rolehost_jobs_key ON rolehost_jobs (key, id)
    WHERE key IS NOT NULL AND state IN {_ACTIVE};
CREATE TABLE effects (id {{id}} PRIMARY KEY, number {{time}} NOT NULL);
"""

POSTGRES_SCHEMA = _SCHEMA.format(
    id="BIGINT GENERATED ALWAYS AS IDENTITY", rising="", time="BIGINT", bytes="BYTEA"
)
SQLITE_SCHEMA = _SCHEMA.format(id="INTEGER", rising=" AUTOINCREMENT", time="INTEGER", bytes="BLOB")

COLUMNS = "(queue, actor, state, priority, run_at, arguments, key, unique_key, enqueued_at, cause)"
INSERT_MANY = f"INSERT INTO rolehost_jobs {COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT = f"{INSERT_MANY} RETURNING id"
PROMOTE = (
    "UPDATE rolehost_jobs SET state = 'available'"
    " WHERE state IN ('scheduled', 'retrying') AND run_at <= ?"
)
_CLAIM = (
    "UPDATE rolehost_jobs SET state = 'claimed', owner = ?, token = token + 1"
    " WHERE id {chosen} RETURNING id, queue, actor, arguments, attempt, crashes, suspect,"
    " cancel, token, run_at, enqueued_at, key, cause, priority"
)
_CHOSEN = (
    "SELECT id FROM rolehost_jobs j WHERE state = 'available'"
    " AND queue = ? AND actor IN (?, ?, ?)"
    " AND (key IS NULL OR NOT EXISTS (SELECT 1 FROM rolehost_jobs o"
    f" WHERE o.key = j.key AND o.id < j.id AND o.state IN {_ACTIVE}))"
    " ORDER BY priority, run_at, id LIMIT ?"
)
SQLITE_CLAIM = _CLAIM.format(chosen=f"IN ({_CHOSEN})")
POSTGRES_CLAIM = _CLAIM.format(chosen=f"= ANY(ARRAY({_CHOSEN} FOR UPDATE SKIP LOCKED))")
FINISH = (
    "UPDATE rolehost_jobs SET state = ?, run_at = ?, attempt = attempt + ?, error = ?,"
    " finished_at = ?, owner = NULL"
    " WHERE id = ? AND token = ? AND state IN ('claimed', 'running')"
)
COMPLETE = (
    "UPDATE rolehost_jobs SET state = 'completed', run_at = ends.at, attempt = attempt + 1,"
    " error = NULL, finished_at = ?, owner = NULL"
    " FROM unnest(CAST(? AS BIGINT[]), CAST(? AS BIGINT[]), CAST(? AS BIGINT[]))"
    " AS ends (job, fence, at)"
    " WHERE id = ends.job AND token = ends.fence AND state IN ('claimed', 'running')"
)
EFFECT = "INSERT INTO effects (number) VALUES (?)"


class Job(msgspec.Struct, frozen=True):
    """A claimed row, in the order of the columns."""

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


class End(NamedTuple):
    """The end of an attempt."""

    state: str
    run_at: int
    counted: bool
    error: str | None


def new_job(actor: str, number: int) -> tuple[Any, ...]:
    """Return a row to insert, in the order of :data:`COLUMNS`."""
    arguments = b'{"number":%d}' % number
    return (QUEUE, actor, "available", 0, now(), arguments, None, None, now(), None)


def finish_values(number: int, token: int) -> tuple[Any, ...]:
    """Return the parameters of :data:`FINISH` for a completed job."""
    return ("completed", now(), 1, None, now(), number, token)


def now() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
