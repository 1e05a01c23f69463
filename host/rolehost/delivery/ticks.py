"""Schedules: each tick enqueues its job at most once, whoever leads.

The last tick of every schedule is a row, moved in the transaction that enqueues the job; so a
leader that dies between two statements has done both or neither. Each schedule stands alone: one
that fails is recorded in its row, and the others tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import structlog

from rolehost import failpoints
from rolehost.api.contributions import Schedule
from rolehost.delivery import leases
from rolehost.delivery.failures import describe
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.tickstate import TOLERANCE
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

LEASE = "scheduler"

#: Seconds until a schedule whose ticks cannot be computed is tried again.
_AGAIN = 60.0

#: How far back the last tick is looked for, in milliseconds: one hour to 60 years. What a step
#: looks through, the steps before it had no tick in, so that none has more than some 1500 ticks.
_STEPS = tuple(
    hours * 3_600_000 for hours in (1, 25, 32 * 24, 366 * 24, 9 * 366 * 24, 60 * 366 * 24)
)


class Ticker:
    """The schedules of one deployment, driven by :meth:`step`; used by one thread.

    Args:
        runtime: the delivery runtime.
        schedules: what to enqueue.
        owner: id of this process.
        lease: seconds for which it leads without renewing.
    """

    def __init__(
        self, runtime: DeliveryRuntime, schedules: Sequence[Schedule], owner: str, lease: float
    ) -> None:
        self._runtime = runtime
        self._schedules = tuple(schedules)
        self._owner = owner
        self._lease = lease
        # What was logged of schedules whose ticks cannot be computed, so that it is said once.
        self._broken: dict[str, str] = {}

    def lead(self) -> bool:
        """Take or prolong the leadership; say whether it is ours."""
        runtime = self._runtime
        return (
            leases.acquire(runtime.database, runtime.clock, LEASE, self._owner, self._lease)
            is not None
        )

    def step(self) -> float:
        """Enqueue the jobs of all ticks that are due; return the seconds until the next one.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        now = self._runtime.clock.now()
        waits = [self._alone(schedule, now) for schedule in self._schedules]
        return min(waits, default=3600.0)

    def _alone(self, schedule: Schedule, now: int) -> float:
        """Do what is due of one schedule; whatever fails in it is recorded, not raised."""
        try:
            upcoming = following(schedule, now)
            due = self._due(schedule, now)
            self._broken.pop(schedule.name, None)
        except StorageUnavailable:
            raise
        except Exception as error:  # a time zone that is gone from this machine, for example
            text = describe(error)
            if self._broken.get(schedule.name) != text:
                self._broken[schedule.name] = text
                self._failed(schedule, None, text, now)
            return _AGAIN
        if due is not None:
            try:
                self._tick(schedule, due, now)
            except StorageUnavailable:
                raise
            except Exception as error:  # an actor that nobody works, arguments, a refused row
                self._failed(schedule, due, describe(error), now)
        return (upcoming - now) / 1000

    def _due(self, schedule: Schedule, now: int) -> int | None:
        """Return the tick that is due, milliseconds; begin or correct the schedule's row."""
        runtime = self._runtime
        with runtime.database.session():
            rows = runtime.database.read(
                "SELECT last_tick FROM rolehost_ticks WHERE schedule = ?", (schedule.name,)
            )
        if not rows:
            # A schedule that is new begins now; it has missed nothing.
            with unit_of_work(runtime) as work:
                work.transaction.execute(
                    "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)"
                    " ON CONFLICT (schedule) DO NOTHING",
                    (schedule.name, now),
                )
            return None
        last = int(rows[0][0])
        if last > now + TOLERANCE:
            self._set_back(schedule, last, now)
            return None
        return latest(schedule, last, now)

    def _set_back(self, schedule: Schedule, last: int, now: int) -> None:
        """Let a schedule go on from now whose last tick was written by a wrong clock."""
        with unit_of_work(self._runtime) as work:
            work.transaction.execute(
                "UPDATE rolehost_ticks SET last_tick = ?, set_back_at = ?, set_back_from = ?"
                " WHERE schedule = ? AND last_tick = ?",
                (now, now, last, schedule.name, last),
            )
        log.error(
            "schedule set back, its last tick was ahead of the clock",
            schedule=schedule.name,
            ahead=round((last - now) / 1000),
        )

    def _tick(self, schedule: Schedule, due: int, now: int) -> None:
        with unit_of_work(self._runtime) as work:
            moved = work.transaction.execute(
                "UPDATE rolehost_ticks SET last_tick = ? WHERE schedule = ? AND last_tick < ?",
                (due, schedule.name, due),
            ).rowcount
            if not moved:
                return
            late = (now - due) / 1000
            if schedule.missed == "skip" and late > self._lease:
                log.info("tick skipped", schedule=schedule.name, late=late)
                return
            work.enqueue(schedule.actor, **schedule.arguments)
            failpoints.reach("ticks.after_enqueue")

    def _failed(self, schedule: Schedule, due: int | None, text: str, now: int) -> None:
        """Record a tick that could not enqueue; the next one is tried in its own time.

        Args:
            schedule: the schedule.
            due: the tick; None: it cannot be computed.
            text: why.
            now: milliseconds.
        """
        log.error("schedule failed", schedule=schedule.name, tick=due, error=text)
        try:
            with unit_of_work(self._runtime) as work:
                work.transaction.execute(
                    "INSERT INTO rolehost_ticks (schedule, last_tick, failures, failed_at, error)"
                    " VALUES (?, ?, 1, ?, ?) ON CONFLICT (schedule) DO UPDATE SET"
                    " failures = rolehost_ticks.failures + 1, failed_at = excluded.failed_at,"
                    " error = excluded.error, last_tick = CASE WHEN rolehost_ticks.last_tick < ?"
                    " THEN excluded.last_tick ELSE rolehost_ticks.last_tick END",
                    (schedule.name, now if due is None else due, now, text, due or 0),
                )
        except StorageUnavailable:
            raise
        except Exception as error:  # another schedule may fare better
            log.error("failure not recorded", schedule=schedule.name, error=describe(error))


def latest(schedule: Schedule, after: int, now: int) -> int | None:
    """Return the last tick in ``(after, now]``, milliseconds; None without one.

    Costs the same however far ``after`` lies back.
    """
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        tick = now // step * step
        return tick if tick > after else None
    for back in _STEPS:
        start = max(after, now - back)
        found = None
        for tick in _cron(schedule, start):
            if tick > now:
                break
            found = tick
        if found is not None or start == after:
            return found
    return None


def following(schedule: Schedule, after: int) -> int:
    """Return the first tick after a moment, both in milliseconds since the epoch.

    Raises:
        ValueError: there is none; the time zone is not known.
    """
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        return (after // step + 1) * step
    for tick in _cron(schedule, after):
        return tick
    raise ValueError(f"the cron expression {schedule.cron!r} never ticks")


def _cron(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield the ticks of a cron expression after a moment, ascending, each later than before.

    Where the clocks change it is as in Debian's cron (cron(8)): with ``*`` or ``*/n`` as minute
    or hour it follows the real time; a fixed time within the hour that is left out ticks when
    the clocks go on, one within the hour that is repeated ticks the first time alone.
    """
    from cronsim import CronSim  # only where a cron expression is evaluated

    assert schedule.cron is not None  # a Schedule has exactly one of the two
    moment = datetime.fromtimestamp(after / 1000, UTC).astimezone(ZoneInfo(schedule.timezone))
    for tick in CronSim(schedule.cron, moment):
        found = int(tick.timestamp() * 1000)
        # In the repeated hour CronSim gives what is over: the first occurrence.
        if found > after:
            after = found
            yield found
