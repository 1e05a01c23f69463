"""Part of ``jobs-storm``: compares jobs, effects, history, results and batches at the end.

Each figure ``wrong_…`` counts what must not be.
"""

from __future__ import annotations

from typing import Any

from tests.proofs.ledgers import Ledger

#: Jobs and batches that have not ended.
UNFINISHED = (
    "SELECT (SELECT count(*) FROM rolehost_jobs WHERE actor LIKE 'storm.%'"
    " AND actor <> 'storm.tick' AND state NOT IN ('completed', 'dead', 'cancelled'))"
    " + (SELECT count(*) FROM batches_batch WHERE state = 'open')"
)

_OURS = "j.actor LIKE 'storm.%' AND j.actor <> 'storm.tick'"
_EFFECTS = "(SELECT count(*) FROM storm_effects e WHERE e.job = j.id AND e.kind <> 'kept')"
_FAILED = (
    "(SELECT count(*) FROM rolehost_attempts a WHERE a.job = j.id"
    " AND a.outcome IN ('retrying', 'dead'))"
)
_CALLBACK = (
    "(SELECT count(*) FROM storm_effects e JOIN batches_member m ON m.job = e.job"
    " WHERE m.batch = b.id AND e.kind = '{kind}')"
)

#: Name of a figure that must be 0 → what it counts.
_WRONG = {
    "lost_jobs": (
        f"SELECT coalesce((SELECT sum(jobs) FROM storm_sent), 0) - count(*) FROM rolehost_jobs j"
        f" WHERE {_OURS}"
    ),
    "effects_of_completed": (
        f"SELECT count(*) FROM rolehost_jobs j WHERE j.actor LIKE 'storm.%'"
        f" AND j.state = 'completed' AND {_EFFECTS} <> 1"
    ),
    "effects_of_others": (
        f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS} AND j.state IN ('dead', 'cancelled')"
        f" AND {_EFFECTS} <> 0"
    ),
    "kept_effects": (
        "SELECT count(*) FROM (SELECT job FROM storm_effects WHERE kind = 'kept' GROUP BY job"
        " HAVING count(*) > 1) AS twice"
    ),
    "history": (
        f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS} AND {_FAILED} <>"
        " j.attempt - CASE WHEN j.state = 'completed' THEN 1 ELSE 0 END"
    ),
    "whole_history": (
        "SELECT count(*) FROM rolehost_jobs j WHERE j.actor = 'storm.tracked'"
        " AND j.state = 'completed' AND (SELECT count(*) FROM rolehost_attempts a"
        " WHERE a.job = j.id AND a.outcome = 'completed') <> 1"
    ),
    "results": (
        "SELECT count(*) FROM rolehost_jobs j WHERE j.actor IN ('storm.keeps', 'storm.waits')"
        " AND (j.state = 'completed') <> EXISTS (SELECT 1 FROM batches_result r WHERE r.job = j.id)"
    ),
    "start_times": "SELECT count(*) FROM storm_effects WHERE text IN ('early', 'late')",
    "order_of_keys": (
        "SELECT count(*) FROM (SELECT e.job, lag(e.job) OVER (PARTITION BY j.key ORDER BY e.id)"
        " AS before FROM storm_effects e JOIN rolehost_jobs j ON j.id = e.job"
        " WHERE j.actor = 'storm.keyed') AS runs WHERE before > job"
    ),
    "batches": (
        "SELECT count(*) FROM batches_batch b WHERE (b.state = 'completed') <> NOT EXISTS"
        " (SELECT 1 FROM batches_member m JOIN rolehost_jobs j ON j.id = m.job"
        " WHERE m.batch = b.id AND m.role = 'step' AND j.state <> 'completed')"
    ),
    "members": (
        "SELECT count(*) FROM batches_member m JOIN rolehost_jobs j ON j.id = m.job"
        " WHERE m.role = 'step' AND m.state <> CASE WHEN m.state = 'skipped'"
        " AND j.state = 'cancelled' THEN 'skipped' ELSE j.state END"
    ),
    "callbacks": (
        "SELECT count(*) FROM batches_batch b WHERE"
        f" {_CALLBACK.format(kind='end')} <> 1"
        f" OR {_CALLBACK.format(kind='success')} <> CASE WHEN state = 'completed' THEN 1 ELSE 0 END"
        f" OR {_CALLBACK.format(kind='failure')} <> CASE WHEN state = 'failed' THEN 1 ELSE 0 END"
    ),
}

_COUNTS = {
    "jobs": f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS}",
    "completed": f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS} AND state = 'completed'",
    "dead": f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS} AND state = 'dead'",
    "cancelled": f"SELECT count(*) FROM rolehost_jobs j WHERE {_OURS} AND state = 'cancelled'",
    "attempts_in_history": "SELECT count(*) FROM rolehost_attempts",
    "batches": "SELECT count(*) FROM batches_batch",
    "failed_batches": "SELECT count(*) FROM batches_batch WHERE state = 'failed'",
    "ticks": "SELECT count(*) FROM rolehost_jobs WHERE actor = 'storm.tick'",
}


def create(ledger: Ledger) -> None:
    """Create the tables of the proof."""
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if ledger.engine == "sqlite" else "BIGSERIAL"
    ledger.execute(
        f"CREATE TABLE storm_effects (id {serial}, job BIGINT, kind TEXT, text TEXT, at BIGINT)",
        "CREATE TABLE storm_sent (id BIGINT PRIMARY KEY, jobs BIGINT)",
        "CREATE INDEX storm_effects_job ON storm_effects (job)",
    )


def audit(ledger: Ledger) -> dict[str, Any]:
    """Return the figures of a ledger whose jobs have ended."""
    ledger.execute("CREATE INDEX IF NOT EXISTS storm_jobs_actor ON rolehost_jobs (actor, state)")
    counts = {name: int(ledger.execute(sql)[0][0]) for name, sql in _COUNTS.items()}
    wrong = {f"wrong_{name}": int(ledger.execute(sql)[0][0]) for name, sql in _WRONG.items()}
    return {**counts, **wrong}
