"""The history of jobs: each failed attempt, and each attempt of actors with ``history``.

A row is written in the transaction that stores the end of the attempt. The attempt of a process
that died is written by the sweep, if its start was recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rolehost.delivery.statements import marks
from rolehost.failures import storable
from rolehost.redaction import masked
from rolehost.storage import Database, Transaction

if TYPE_CHECKING:
    from rolehost.delivery.jobs import ClaimedJob, Finish

#: The error of an attempt whose process died.
DIED = "its process died"
#: Maximum number of rows in one statement of :func:`append`.
_ROWS = 100
_COLUMNS = "attempt, outcome, started_at, ended_at, process, version, error, traceback, log"
_INSERT = f"INSERT INTO rolehost_attempts (job, {_COLUMNS})"


class Attempted(NamedTuple):
    """What the history keeps of an attempt, besides its job; times in milliseconds.

    ``traceback`` is None if nothing was raised; ``log`` has its last lines.
    """

    outcome: str
    started_at: int
    ended_at: int
    version: str | None
    error: str | None
    traceback: str | None
    log: str | None


def text_of(lines: Collection[str] | None) -> str | None:
    """Return log lines as one text that can be stored, with secrets masked."""
    return storable(masked("\n".join(lines))) if lines else None


def append(tx: Transaction, ends: Sequence[tuple[ClaimedJob, Finish]]) -> None:
    """Write the attempts of ends that have one, before the ends; those of lost claims are left out.

    The claim names the process.
    """
    rows = [
        (job.id, job.token, job.attempt + 1, *end.attempted)
        for job, end in ends
        if end.attempted is not None
    ]
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        places = ", ".join([f"({marks(part[0])})"] * len(part))
        tx.execute(
            f"{_INSERT} SELECT j.id, v.column3, v.column4, v.column5, v.column6, j.owner,"
            " v.column7, v.column8, v.column9, v.column10"
            f" FROM (VALUES {places}) AS v JOIN rolehost_jobs AS j ON j.id = v.column1"
            " AND j.token = v.column2 AND j.owner IS NOT NULL",
            [value for row in part for value in row],
        )


def append_died(tx: Transaction, held: str, owner: str, now: int) -> None:
    """Write the attempts of a process that died; ``held``: the condition on the ids of its jobs."""
    tx.execute(
        f"{_INSERT} SELECT id, attempt + 1, 'died', coalesce(started_at, ?), ?, owner, NULL, ?,"
        f" NULL, NULL FROM rolehost_jobs WHERE state = 'running' AND id {held}",
        (now, now, DIED, owner),
    )


def of_job(database: Database, number: int) -> list[dict[str, Any]]:
    """Return the stored attempts of a job, oldest first, as dicts of columns."""
    rows = database.read(
        f"SELECT {_COLUMNS} FROM rolehost_attempts WHERE job = ? ORDER BY id", (number,)
    )
    return [dict(zip(_COLUMNS.split(", "), row, strict=True)) for row in rows]
