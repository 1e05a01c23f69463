"""How the ticks of schedules went, as their rows tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rolehost.storage import Database

#: Milliseconds by which a last tick may be ahead of the clock: clocks differ a little, and are
#: set back a little. One that is further ahead was written by a wrong clock.
TOLERANCE = 60_000

#: Seconds for which it is told that a schedule was set back.
_TOLD = 7 * 86_400


class TickState(NamedTuple):
    """The row of one schedule; times are milliseconds since the epoch.

    Attributes:
        schedule: its name.
        last_tick: the last tick that is over, whether it failed or not.
        failures: how many failed since the row was made.
        failed_at: when one failed last; None: never.
        error: why.
        set_back_at: when ``last_tick`` was corrected, because a clock had been ahead; None:
            never.
        set_back_from: what it was before.
    """

    schedule: str
    last_tick: int
    failures: int
    failed_at: int | None
    error: str | None
    set_back_at: int | None
    set_back_from: int | None


class TickProblem(NamedTuple):
    """What is wrong with the ticks of one schedule.

    Attributes:
        code: ``schedule-fails``, ``schedule-ahead`` or ``schedule-set-back``.
        schedule: its name.
        what: what is wrong, in one sentence.
        fix: what to do.
    """

    code: str
    schedule: str
    what: str
    fix: str


def read(database: Database) -> dict[str, TickState]:
    """Return the rows by the name of the schedule; none where the schema is an older one.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    with database.session():
        known = {column.name for column in database.peewee.get_columns("rolehost_ticks")}
        if not known.issuperset(TickState._fields):
            return {}
        rows = database.read(f"SELECT {', '.join(TickState._fields)} FROM rolehost_ticks")
    return {row[0]: TickState(*row) for row in rows}


def problems(state: TickState, now: int) -> Iterator[TickProblem]:
    """Yield what is wrong with a schedule at ``now``, milliseconds."""
    name = state.schedule
    if state.failed_at is not None and state.failed_at >= state.last_tick:
        yield TickProblem(
            "schedule-fails",
            name,
            f"the schedule {name} failed the last time, {state.failures} times in all:"
            f" {state.error}",
            "correct the schedule or its actor; rolehost check says what it can see",
        )
    if state.last_tick > now + TOLERANCE:
        yield TickProblem(
            "schedule-ahead",
            name,
            f"the last tick of the schedule {name} is {_distance(state.last_tick - now)} ahead of"
            " the clock here",
            "look at the clocks of all machines; the leading scheduler sets the schedule back",
        )
    if state.set_back_at is not None and state.set_back_at > now - _TOLD * 1000:
        ahead = (state.set_back_from or 0) - state.set_back_at
        yield TickProblem(
            "schedule-set-back",
            name,
            f"the schedule {name} was set back, since its last tick was {_distance(ahead)} ahead of"
            " the clock",
            "look for a machine whose clock was wrong, and at jobs that were delayed then:"
            " rolehost jobs list --state scheduled",
        )


def _distance(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
