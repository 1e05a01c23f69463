"""Schedules: each tick enqueues its job at most once, whoever leads.

The last tick of every schedule is a row, moved in the transaction that enqueues the job; so a
leader that dies between two statements has done both or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import structlog

from rolehost import failpoints
from rolehost.api.contributions import Schedule
from rolehost.delivery import leases
from rolehost.delivery.engine import Engine

log = structlog.get_logger(__name__)

LEASE = "scheduler"


class Ticker:
    """The schedules of one deployment, driven by :meth:`step`; used by one thread.

    Args:
        engine: the engine.
        schedules: what to enqueue.
        owner: id of this process.
        lease: seconds for which it leads without renewing.
    """

    def __init__(
        self, engine: Engine, schedules: Sequence[Schedule], owner: str, lease: float
    ) -> None:
        self._engine = engine
        self._schedules = tuple(schedules)
        self._owner = owner
        self._lease = lease

    def lead(self) -> bool:
        """Take or prolong the leadership; say whether it is ours."""
        engine = self._engine
        return (
            leases.acquire(engine.database, engine.clock, LEASE, self._owner, self._lease)
            is not None
        )

    def step(self) -> float:
        """Enqueue the jobs of all ticks that are due; return the seconds until the next one."""
        now = self._engine.clock.now()
        waits = [self._step(schedule, now) for schedule in self._schedules]
        return min(waits, default=3600.0)

    def _step(self, schedule: Schedule, now: int) -> float:
        engine = self._engine
        with engine.database.session():
            rows = engine.database.read(
                "SELECT last_tick FROM rolehost_ticks WHERE schedule = ?", (schedule.name,)
            )
        # A schedule that is new begins now; it has missed nothing.
        last = rows[0][0] if rows else now
        due = latest(schedule, last, now)
        if not rows or due is not None:
            self._move(schedule, due, now, new=not rows)
        return (following(schedule, now) - now) / 1000

    def _move(self, schedule: Schedule, due: int | None, now: int, *, new: bool) -> None:
        with self._engine.unit_of_work() as work:
            moved = work.transaction.execute(
                "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)"
                " ON CONFLICT (schedule) DO UPDATE SET last_tick = excluded.last_tick"
                " WHERE rolehost_ticks.last_tick < excluded.last_tick",
                (schedule.name, now if due is None else due),
            ).rowcount
            if due is None or not moved or new:
                return
            late = (now - due) / 1000
            if schedule.missed == "skip" and late > self._lease:
                log.info("tick skipped", schedule=schedule.name, late=late)
                return
            work.enqueue(schedule.actor, **schedule.arguments)
            failpoints.reach("ticks.after_enqueue")


def latest(schedule: Schedule, after: int, now: int) -> int | None:
    """Return the last tick in ``(after, now]``, milliseconds; None without one."""
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        tick = now // step * step
        return tick if tick > after else None
    tick_at = None
    upcoming = following(schedule, after)
    while upcoming <= now:
        tick_at = upcoming
        upcoming = following(schedule, upcoming)
    return tick_at


def following(schedule: Schedule, after: int) -> int:
    """Return the first tick after a moment, both in milliseconds since the epoch."""
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        return (after // step + 1) * step
    from cronsim import CronSim  # only where a cron expression is evaluated

    assert schedule.cron is not None  # a Schedule has exactly one of the two
    moment = datetime.fromtimestamp(after / 1000, UTC).astimezone(ZoneInfo(schedule.timezone))
    tick: datetime = next(CronSim(schedule.cron, moment))
    return int(tick.timestamp() * 1000)
