"""The status of schedules, read from their rows; imports little, for the command line."""

from __future__ import annotations

from typing import NamedTuple

from rolehost.storage import Database

#: Milliseconds by which a last tick may be ahead of the clock (*clock skew* between machines). One
#: that is further ahead was written by a wrong clock.
TOLERANCE = 60_000


class TickState(NamedTuple):
    """The row of one schedule; times are milliseconds since the epoch.

    ``last_tick`` is the last completed tick, failed or not. ``failures`` counts since the row was
    inserted; ``failed_at`` and ``error`` describe the last failure. At ``set_back_at``,
    ``last_tick`` was corrected from ``set_back_from``, because it was ahead of the clock.
    """

    schedule: str
    last_tick: int
    failures: int
    failed_at: int | None
    error: str | None
    set_back_at: int | None
    set_back_from: int | None


def read(database: Database) -> dict[str, TickState]:
    """Return the rows by the name of the schedule; empty if the schema is an older one."""
    with database.session():
        known = {column.name for column in database.peewee.get_columns("rolehost_ticks")}
        if not known.issuperset(TickState._fields):
            return {}
        rows = database.read(f"SELECT {', '.join(TickState._fields)} FROM rolehost_ticks")
    return {row[0]: TickState(*row) for row in rows}
