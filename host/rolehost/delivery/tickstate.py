"""The status of schedules, read from their rows; imports little, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rolehost.storage import Database

#: Milliseconds by which a last tick may be ahead of the clock (*clock skew* between machines). One
#: that is further ahead was written by a wrong clock.
TOLERANCE = 60_000
#: Milliseconds for which a correction of a schedule is shown.
_SHOWN = 7 * 86_400_000


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


class TickProblem(NamedTuple):
    """A problem of one schedule: its code, and a sentence each for the problem and the fix."""

    code: str
    schedule: str
    what: str
    fix: str


def read(database: Database) -> dict[str, TickState]:
    """Return the rows by the name of the schedule; empty if the schema is an older one."""
    with database.session():
        known = {column.name for column in database.peewee.get_columns("rolehost_ticks")}
        if not known.issuperset(TickState._fields):
            return {}
        rows = database.read(f"SELECT {', '.join(TickState._fields)} FROM rolehost_ticks")
    return {row[0]: TickState(*row) for row in rows}


def problems(state: TickState, now: int) -> Iterator[TickProblem]:
    """Yield the problems of a schedule at ``now``, milliseconds."""
    name = state.schedule
    if state.failed_at is not None and state.failed_at >= state.last_tick:
        yield TickProblem(
            "schedule-fails",
            name,
            f"the schedule {name} failed the last time, {state.failures} times in all:"
            f" {state.error}",
            "fix the schedule or its actor; rolehost check may find the error",
        )
    if state.last_tick > now + TOLERANCE:
        yield TickProblem(
            "schedule-ahead",
            name,
            f"the last tick of the schedule {name} is {_distance(state.last_tick - now)} ahead of"
            " the clock here",
            "check the clocks of all machines; the leading scheduler sets the schedule back",
        )
    if state.set_back_at is not None and state.set_back_at > now - _SHOWN:
        ahead = (state.set_back_from or 0) - state.set_back_at
        yield TickProblem(
            "schedule-set-back",
            name,
            f"the schedule {name} was set back, because its last tick was {_distance(ahead)} ahead"
            " of the clock",
            "find the machine that had a wrong clock, and check jobs that it delayed:"
            " rolehost jobs list --state scheduled",
        )


def _distance(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
