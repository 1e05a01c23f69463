"""Operators' actions on jobs: list, show, retry, cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rolehost.delivery.arguments import Signature
from rolehost.delivery.jobs import ACTIVE, STATES
from rolehost.delivery.ledger import PARTITION_COLUMNS, announce
from rolehost.errors import PayloadError
from rolehost.storage import Database, Transaction

_COLUMNS = (
    "id, queue, actor, state, priority, run_at, key, partition, unique_key, attempt, crashes,"
    " owner, enqueued_at, started_at, finished_at, error, cause, arguments"
)


def listing(
    database: Database,
    *,
    state: str | None = None,
    queue: str | None = None,
    actor: str | None = None,
    partition: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return jobs, newest first, as dicts of columns. Raises ValueError for an unknown state."""
    if state is not None and state not in STATES:
        raise ValueError(f"state {state!r} is not one of {', '.join(STATES)}")
    filters = {"state": state, "queue": queue, "actor": actor, "partition": partition}
    chosen = {name: value for name, value in filters.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in chosen)
    rows = database.read(
        f"SELECT {_COLUMNS} FROM rolehost_jobs"
        f"{' WHERE ' + where if where else ''} ORDER BY id DESC LIMIT ?",
        (*chosen.values(), limit),
    )
    return [_job(row) for row in rows]


def show(database: Database, number: int) -> dict[str, Any] | None:
    """Return one job as a dict of its columns; None if the id is unknown."""
    rows = database.read(f"SELECT {_COLUMNS} FROM rolehost_jobs WHERE id = ?", (number,))
    return _job(rows[0]) if rows else None


def argument_error(
    database: Database, signatures: Mapping[str, Signature], number: int
) -> str | None:
    """Return why a job's arguments do not fit its actor; None if they do or cannot be checked."""
    rows = database.read("SELECT actor, arguments FROM rolehost_jobs WHERE id = ?", (number,))
    signature = signatures.get(rows[0][0]) if rows else None
    if signature is None:
        return None
    try:
        signature.decode(_text(rows[0][1]).encode())
    except PayloadError as error:
        return str(error)
    return None


def retry(
    tx: Transaction,
    number: int,
    now: int,
    only: Sequence[str] = ("dead", "cancelled", "retrying", "scheduled"),
) -> str | None:
    """Make a job available now and reset its attempts; return the name to wake.

    Returns None if the job does not exist or has another state than ``only``, or if another job
    holds its ``unique`` text.
    """
    marks = ", ".join("?" * len(only))
    active = ", ".join("?" * len(ACTIVE))
    row = tx.execute(
        "UPDATE rolehost_jobs SET state = 'available', run_at = ?, attempt = 0, crashes = 0,"
        " suspect = 0, cancel = 0, finished_at = NULL"
        f" WHERE id = ? AND state IN ({marks}) AND (unique_held = 0 OR NOT EXISTS ("
        " SELECT 1 FROM rolehost_jobs o WHERE o.unique_key = rolehost_jobs.unique_key"
        " AND o.id <> rolehost_jobs.id AND (o.unique_held = 3 OR o.unique_held > 0"
        f" AND o.state IN ({active})))) RETURNING queue, {PARTITION_COLUMNS}",
        (now, number, *only, *ACTIVE),
    ).fetchone()
    if row is None:
        return None
    announce(tx, [row[1:]])
    return f"queue:{row[0]}"


def cancel(tx: Transaction, number: int, now: int) -> str | None:
    """Cancel a waiting job, ask a running one to stop; return ``cancelled``, ``asked`` or None."""
    waiting = tx.execute(
        "UPDATE rolehost_jobs SET state = 'cancelled', finished_at = ?"
        " WHERE id = ? AND state IN ('available', 'scheduled', 'retrying')"
        f" RETURNING {PARTITION_COLUMNS}",
        (now, number),
    ).fetchall()
    if waiting:
        announce(tx, waiting)  # the next job of a key may run now
        return "cancelled"
    running = tx.execute(
        "UPDATE rolehost_jobs SET cancel = 1 WHERE id = ? AND state IN ('claimed', 'running')",
        (number,),
    ).rowcount
    return "asked" if running else None


def _job(row: tuple[Any, ...]) -> dict[str, Any]:
    job = dict(zip(_COLUMNS.split(", "), row, strict=True))
    job["arguments"] = _text(job["arguments"])
    return job


def _text(arguments: Any) -> str:
    """Return arguments as text, even if other software wrote the row."""
    return arguments if isinstance(arguments, str) else bytes(arguments).decode(errors="replace")
