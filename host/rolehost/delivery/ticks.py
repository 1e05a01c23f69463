"""Schedules: each tick enqueues its job at most once, whichever process leads.

The last tick of every schedule is a row, updated in the transaction that enqueues the job. So a
leader that dies between two statements has done both or neither. Schedules are independent: if
one fails, its error is recorded in its row, and the other schedules tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
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

#: Seconds until the next try, if the ticks of a schedule cannot be computed.
_RETRY = 60.0

#: How far back the last tick is searched, in milliseconds: one hour to 60 years. Each step runs
#: only if the smaller ones had no tick, so that none iterates over more than about 1500 ticks.
_STEPS = tuple(
    hours * 3_600_000 for hours in (1, 25, 32 * 24, 366 * 24, 9 * 366 * 24, 60 * 366 * 24)
)


class Ticker:
    """The schedules of one deployment; leads for ``lease`` seconds after each renewal."""

    def __init__(
        self, runtime: DeliveryRuntime, schedules: Sequence[Schedule], owner: str, lease: float
    ) -> None:
        self._runtime = runtime
        self._schedules = tuple(schedules)
        self._owner = owner
        self._lease = lease
        # Errors in computing ticks, by schedule, so that each is logged only once.
        self._broken: dict[str, str] = {}

    def lead(self) -> bool:
        """Take or renew the leader lease; return whether this process leads."""
        runtime = self._runtime
        return leases.acquire(runtime.database, runtime.clock, LEASE, self._owner, self._lease)

    def step(self) -> float:
        """Enqueue the jobs of all ticks that are due; return the seconds until the next tick."""
        now = self._runtime.clock.now()
        waits = [self._step_one(schedule, now) for schedule in self._schedules]
        return min(waits, default=3600.0)

    def _step_one(self, schedule: Schedule, now: int) -> float:
        """Enqueue the due job of one schedule; its errors are recorded, not raised."""
        try:
            upcoming = following(schedule, now)
            due = self._due(schedule, now)
            self._broken.pop(schedule.name, None)
        except StorageUnavailable:
            raise
        except Exception as error:  # for example a time zone that this machine does not have
            text = describe(error)
            if self._broken.get(schedule.name) != text:
                self._broken[schedule.name] = text
                self._failed(schedule, None, text, now)
            return _RETRY
        if due is not None:
            try:
                self._tick(schedule, due, now)
            except StorageUnavailable:
                raise
            except Exception as error:  # for example an unknown actor, wrong arguments
                self._failed(schedule, due, describe(error), now)
        return (upcoming - now) / 1000

    def _due(self, schedule: Schedule, now: int) -> int | None:
        """Return the tick that is due, milliseconds; insert or correct the schedule's row."""
        with self._runtime.database.session():
            rows = self._runtime.database.read(
                "SELECT last_tick FROM rolehost_ticks WHERE schedule = ?", (schedule.name,)
            )
        if not rows:
            # A new schedule begins now, so it has no missed ticks.
            self._write(
                "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)"
                " ON CONFLICT (schedule) DO NOTHING",
                (schedule.name, now),
            )
            return None
        last = int(rows[0][0])
        if last <= now + TOLERANCE:
            return latest(schedule, last, now)
        # A wrong clock wrote it: continue from now, instead of waiting for that time.
        self._write(
            "UPDATE rolehost_ticks SET last_tick = ?, set_back_at = ?, set_back_from = ?"
            " WHERE schedule = ? AND last_tick = ?",
            (now, now, last, schedule.name, last),
        )
        log.error(
            "schedule set back, its last tick was ahead of the clock",
            schedule=schedule.name,
            ahead=round((last - now) / 1000),
        )
        return None

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
        """Record a failed tick; ``due`` is None if the tick could not be computed."""
        log.error("schedule failed", schedule=schedule.name, tick=due, error=text)
        try:
            self._write(
                "INSERT INTO rolehost_ticks (schedule, last_tick, failures, failed_at, error)"
                " VALUES (?, ?, 1, ?, ?) ON CONFLICT (schedule) DO UPDATE SET"
                " failures = rolehost_ticks.failures + 1, failed_at = excluded.failed_at,"
                " error = excluded.error, last_tick = CASE WHEN rolehost_ticks.last_tick < ?"
                " THEN excluded.last_tick ELSE rolehost_ticks.last_tick END",
                (schedule.name, now if due is None else due, now, text, due or 0),
            )
        except StorageUnavailable:
            raise
        except Exception as error:  # the other schedules continue
            log.error("failure not recorded", schedule=schedule.name, error=describe(error))

    def _write(self, sql: str, params: tuple[Any, ...]) -> None:
        with unit_of_work(self._runtime) as work:
            work.transaction.execute(sql, params)


def latest(schedule: Schedule, after: int, now: int) -> int | None:
    """Return the last tick in ``(after, now]``, or None; the cost does not depend on ``after``."""
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
    """Return the first tick after a moment, milliseconds. Raises ValueError if it never ticks."""
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        return (after // step + 1) * step
    for tick in _cron(schedule, after):
        return tick
    raise ValueError(f"the cron expression {schedule.cron!r} never ticks")


def _cron(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield the ticks of a cron expression after a moment, each later than the one before.

    Daylight saving time is handled as in Debian's cron (cron(8)). An expression with ``*`` or
    ``*/n`` as minute or hour follows real time. A fixed time in the skipped hour ticks when the
    clocks go forward, and one in the repeated hour ticks only the first time.
    """
    from cronsim import CronSim  # only where a cron expression is evaluated

    assert schedule.cron is not None  # a Schedule has either ``every`` or ``cron``
    moment = datetime.fromtimestamp(after / 1000, UTC).astimezone(ZoneInfo(schedule.timezone))
    for tick in CronSim(schedule.cron, moment):
        found = int(tick.timestamp() * 1000)
        # In the repeated hour CronSim returns times that have passed.
        if found > after:
            after = found
            yield found
