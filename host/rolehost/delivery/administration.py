"""Operators' actions on jobs: list, show, retry, cancel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from rolehost.delivery import queries
from rolehost.delivery.arguments import Signature
from rolehost.delivery.jobs import ACTIVE, STATES
from rolehost.delivery.ledger import PARTITION_COLUMNS, announce
from rolehost.delivery.statements import among, numbers
from rolehost.errors import PayloadError
from rolehost.storage import Database, Transaction

_COLUMNS = (
    "id, queue, actor, state, priority, run_at, key, partition, unique_key, attempt, crashes,"
    " owner, enqueued_at, expires_at, started_at, finished_at, error, cause, arguments"
)
_KIND = ("state", "queue", "actor")
#: The condition of the index ``rolehost_jobs_of_partition``.
_OF_PARTITION = "partition IS NOT NULL AND state NOT IN ('claimed', 'running', 'completed')"

#: Maximum number of jobs that one call of :func:`search` reads, and of completed jobs among which
#: :func:`listing` finds those of a partition.
_SEARCHED = 2000
#: Maximum number of statements of :func:`_sources` that are joined into one.
_KINDS = 100
_LAST_ID = 2**63 - 1


class Page(NamedTuple):
    """Found jobs; ``before`` is the cursor of the next page, None if there are no older jobs."""

    jobs: list[dict[str, Any]]
    before: int | None


def listing(
    database: Database,
    *,
    state: str | None = None,
    queue: str | None = None,
    actor: str | None = None,
    partition: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return jobs with an id less than ``before``, newest first, as dicts of columns.

    Completed jobs of a ``partition`` are found only among the newest completed ones of each actor,
    because no index has their partitions. Raises ValueError for an unknown state.
    """
    if state is not None and state not in STATES:
        raise ValueError(f"state {state!r} is not one of {', '.join(STATES)}")
    filters = {"state": state, "queue": queue, "actor": actor, "partition": partition}
    chosen = {name: value for name, value in filters.items() if value is not None}
    below = _LAST_ID if before is None else before
    if not chosen:
        return _read(database, "id < ?", (below,), limit)
    sources = list(_sources(database, chosen, below, limit))
    jobs: list[dict[str, Any]] = []
    for first in range(0, len(sources), _KINDS):
        part = sources[first : first + _KINDS]
        union = " UNION ALL ".join(sql for sql, _ in part)
        params = [value for _, values in part for value in values]
        jobs += _read(database, f"id IN ({union})", params, limit)
    jobs.sort(key=itemgetter("id"), reverse=True)
    return jobs[:limit]


def _read(
    database: Database, condition: str, params: Sequence[Any], limit: int
) -> list[dict[str, Any]]:
    rows = database.read(
        f"SELECT {_COLUMNS} FROM rolehost_jobs WHERE {condition} ORDER BY id DESC LIMIT ?",
        (*params, limit),
    )
    return [_job(row) for row in rows]


def _sources(
    database: Database, chosen: Mapping[str, str], below: int, limit: int
) -> Iterator[tuple[str, list[Any]]]:
    """Yield statements that return the ids of the newest matching jobs, with their parameters.

    Each statement reads one index.
    """
    newest = partial(_newest, database.dialect, below)
    state, partition = chosen.get("state"), chosen.get("partition")
    if state in (None, "claimed", "running"):
        # Claimed jobs are few, so all are read.
        held = " AND ".join(
            ["state IN ('claimed', 'running')", *(f"{name} = ?" for name in chosen)]
        )
        yield f"SELECT id FROM rolehost_jobs WHERE {held} AND id < ?", [*chosen.values(), below]
    if partition is None:
        for values in _kinds(database, chosen):
            yield newest(queries.LISTED, "state", values, limit)
        return
    if state != "completed":
        yield newest(_OF_PARTITION, "partition", chosen, limit)
    if state in (None, "completed"):
        completed = {name: chosen[name] for name in _KIND if name in chosen}
        kinds = _kinds(database, completed | {"state": "completed"})
        for values in kinds:
            sql, params = newest(queries.LISTED, "state", values, _SEARCHED // len(kinds))
            yield f"{sql} WHERE partition = ?", [*params, partition]


def _kinds(database: Database, chosen: Mapping[str, str]) -> list[dict[str, str]]:
    """Return each state, queue and actor that jobs have together, if they match ``chosen``."""
    found = queries.first_jobs(database, ", ".join(_KIND), "id", queries.LISTED)
    kinds = [dict(zip(_KIND, row[:3], strict=True)) for row in found]
    return [kind for kind in kinds if chosen.items() <= kind.items()]


def _newest(
    dialect: str, below: int, condition: str, first: str, filters: Mapping[str, str], limit: int
) -> tuple[str, list[Any]]:
    """Return the statement that reads the newest jobs, by the index that begins with ``first``."""
    # ``= ANY`` keeps PostgreSQL from walking the primary key backwards and filtering out the jobs
    # that do not match, which may be nearly all of them.
    equal = dict.fromkeys(filters, "= ?")
    if dialect == "postgresql":
        equal[first] = "= ANY(ARRAY[?])"
    where = " AND ".join([condition, *(f"{name} {mark}" for name, mark in equal.items())])
    return (
        f"SELECT id FROM (SELECT id, partition FROM rolehost_jobs WHERE {where} AND id < ?"
        f" ORDER BY {first} DESC, id DESC LIMIT ?) AS newest",
        [*filters.values(), below, limit],
    )


def search(
    database: Database,
    *,
    error: str = "",
    arguments: str = "",
    before: int | None = None,
    limit: int = 100,
    **filters: str | None,
) -> Page:
    """Return jobs whose error and arguments contain these texts; ``filters`` as :func:`listing`.

    A page may have few jobs, or none, because only a bounded number of jobs is read for it.
    """
    read = listing(database, before=before, limit=_SEARCHED, **filters)
    found = [job for job in read if error in (job["error"] or "") and arguments in job["arguments"]]
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1]["id"])
    return Page(found, read[-1]["id"] if len(read) == _SEARCHED else None)


def show(database: Database, number: int) -> dict[str, Any] | None:
    """Return one job as a dict of its columns; None if the id is unknown."""
    rows = database.read(f"SELECT {_COLUMNS} FROM rolehost_jobs WHERE id = ?", (number,))
    return _job(rows[0]) if rows else None


def argument_error(
    database: Database, signatures: Mapping[str, Signature], number: int
) -> str | None:
    """Return why a job's arguments do not fit its actor; None if they fit or cannot be checked."""
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
    """Make a job available now; reset its attempts and expiry; return the name for the wake-up.

    Returns None if the job does not exist or has another state than ``only``, or if another job
    holds its ``unique`` text.
    """
    marks = ", ".join("?" * len(only))
    active = ", ".join("?" * len(ACTIVE))
    row = tx.execute(
        "UPDATE rolehost_jobs SET state = 'available', run_at = ?, attempt = 0, crashes = 0,"
        " suspect = 0, cancel = 0, finished_at = NULL, expires_at = NULL"
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


def cancel(tx: Transaction, number: int, now: int) -> tuple[str, str] | None:
    """Cancel a waiting job, or ask a claimed one to stop.

    Returns ``cancelled`` or ``asked`` and the name for the wake-up; None if the job does not exist
    or has finished.
    """
    waiting = tx.execute(
        "UPDATE rolehost_jobs SET state = 'cancelled', finished_at = ?"
        " WHERE id = ? AND state IN ('available', 'scheduled', 'retrying')"
        f" RETURNING {PARTITION_COLUMNS}",
        (now, number),
    ).fetchall()
    if waiting:
        announce(tx, waiting)  # the next job of a key may run now
        return "cancelled", f"queue:{waiting[0][2]}"
    running = tx.execute(
        "UPDATE rolehost_jobs SET cancel = 1 WHERE id = ? AND state IN ('claimed', 'running')"
        " RETURNING queue",
        (number,),
    ).fetchone()
    return ("asked", f"queue:{running[0]}") if running else None


def run_now(tx: Transaction, dialect: str, jobs: Sequence[int], now: int) -> list[str]:
    """Make scheduled jobs available; return the names for the wake-up, one for each job."""
    started = tx.execute(
        "UPDATE rolehost_jobs SET state = 'available', run_at = ? WHERE state = 'scheduled'"
        f" AND id {among(dialect)} RETURNING {PARTITION_COLUMNS}",
        (now, numbers(dialect, jobs)),
    ).fetchall()
    announce(tx, started)
    return [f"queue:{row[2]}" for row in started]


def _job(row: tuple[Any, ...]) -> dict[str, Any]:
    job = dict(zip(_COLUMNS.split(", "), row, strict=True))
    job["arguments"] = _text(job["arguments"])
    return job


def _text(arguments: Any) -> str:
    """Return arguments as text, even if other software wrote the row."""
    return arguments if isinstance(arguments, str) else bytes(arguments).decode(errors="replace")
