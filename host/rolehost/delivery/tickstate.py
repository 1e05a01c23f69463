"""The rows of schedules: their last ticks, and what was changed at run time.

Imports little, for the command line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rolehost.api.contributions import Schedule
from rolehost.storage import Database, Transaction

#: Milliseconds by which a last tick may be ahead of the clock (*clock skew* between machines). One
#: that is further ahead was written by a wrong clock.
TOLERANCE = 60_000


class TickState(NamedTuple):
    """The row of one schedule; times are milliseconds since the epoch.

    ``last_tick`` is the last completed tick, failed or not. ``failures`` counts since the row was
    inserted; ``failed_at`` and ``error`` describe the last failure. At ``set_back_at``,
    ``last_tick`` was corrected from ``set_back_from``, because it was ahead of the clock.
    ``last_job`` is the last job of a tick, ``skipped`` counts ticks without a job because of
    ``overlap``. ``paused`` is 1 while it does not tick. ``cron``, ``every`` and ``timezone`` were
    set at run time; None: as declared.
    """

    schedule: str
    last_tick: int
    failures: int
    failed_at: int | None
    error: str | None
    set_back_at: int | None
    set_back_from: int | None
    last_job: int | None = None
    skipped: int = 0
    paused: int = 0
    cron: str | None = None
    every: float | None = None
    timezone: str | None = None

    @property
    def changed(self) -> bool:
        """Whether its times were set at run time."""
        return self.cron is not None or self.every is not None


#: Columns of the rows, and the statement that reads them.
_COLUMNS = ", ".join(TickState._fields)
READ = f"SELECT {_COLUMNS} FROM rolehost_ticks"


def read(database: Database) -> dict[str, TickState]:
    """Return the rows by the name of the schedule; empty if the schema is an older one."""
    with database.session():
        known = {column.name for column in database.peewee.get_columns("rolehost_ticks")}
        if not known.issuperset(TickState._fields):
            return {}
        rows = database.read(READ)
    return {row[0]: TickState(*row) for row in rows}


def in_force(schedule: Schedule, state: TickState | None) -> Schedule:
    """Return a schedule with the times that were set at run time."""
    if state is None or not state.changed:
        return schedule
    timezone = state.timezone or schedule.timezone
    return replace(schedule, cron=state.cron, every=state.every, timezone=timezone)


def pause(tx: Transaction, name: str, now: int) -> None:
    """Let a schedule not tick until :func:`resume`."""
    ensure(tx, name, now)
    tx.execute("UPDATE rolehost_ticks SET paused = 1 WHERE schedule = ?", (name,))


def resume(tx: Transaction, name: str, now: int) -> None:
    """Let a paused schedule tick again. The ticks of the pause are not missed ones."""
    tx.execute(
        "UPDATE rolehost_ticks SET paused = 0, last_tick = ? WHERE schedule = ? AND paused = 1",
        (now, name),
    )


def change(tx: Transaction, changed: Schedule, now: int) -> None:
    """Set the times of a schedule at run time; ticks before ``now`` are not missed ones."""
    ensure(tx, changed.name, now)
    tx.execute(
        "UPDATE rolehost_ticks SET cron = ?, every = ?, timezone = ?, last_tick = ?"
        " WHERE schedule = ?",
        (changed.cron, changed.every, changed.timezone, now, changed.name),
    )


def reset(tx: Transaction, name: str, now: int) -> None:
    """Let a schedule tick at the times that its plugin declares."""
    tx.execute(
        "UPDATE rolehost_ticks SET cron = NULL, every = NULL, timezone = NULL, last_tick = ?"
        " WHERE schedule = ? AND (cron IS NOT NULL OR every IS NOT NULL)",
        (now, name),
    )


def ensure(tx: Transaction, name: str, now: int) -> None:
    """Insert the row of a schedule that has never ticked; it begins now."""
    tx.execute(
        "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)"
        " ON CONFLICT (schedule) DO NOTHING",
        (name, now),
    )
