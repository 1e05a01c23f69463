"""Problems of schedules, from their rows in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rolehost.delivery.tickstate import TOLERANCE, TickState
from rolehost.errors import Problem

#: Milliseconds for which a correction of a schedule is reported.
_REPORTED = 7 * 86_400_000


def problems(state: TickState, now: int) -> Iterator[Problem]:
    """Yield the problems of a schedule at ``now``, milliseconds."""
    name = state.schedule
    if state.failed_at is not None and state.failed_at >= state.last_tick:
        yield _problem(
            state,
            "schedule-fails",
            f"the schedule {name} failed the last time, {state.failures} times in all:"
            f" {state.error}",
            "fix the schedule or its actor; rolehost check may find the error",
        )
    if state.last_tick > now + TOLERANCE:
        yield _problem(
            state,
            "schedule-ahead",
            f"the last tick of the schedule {name} is {_distance(state.last_tick - now)} ahead of"
            " the clock here",
            "check the clocks of all machines; the leading scheduler sets the schedule back",
        )
    if state.set_back_at is not None and state.set_back_at > now - _REPORTED:
        ahead = (state.set_back_from or 0) - state.set_back_at
        yield _problem(
            state,
            "schedule-set-back",
            f"the schedule {name} was set back, because its last tick was {_distance(ahead)} ahead"
            " of the clock",
            "find the machine that had a wrong clock, and check jobs that it delayed:"
            " rolehost jobs list --state scheduled",
        )


def _problem(state: TickState, code: str, what: str, fix: str) -> Problem:
    last_tick = datetime.fromtimestamp(state.last_tick / 1000, UTC).isoformat(timespec="seconds")
    return Problem(
        code=code,
        who=f"schedule {state.schedule}",
        where="schedules",
        what=what,
        expected="a job for every tick, and synchronised clocks",
        got=f"{state.failures} failed, last tick {last_tick}",
        fix=fix,
    )


def _distance(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
