"""Schedules: each tick enqueues its job at most once, whichever process leads.

The last tick of every schedule is a row, updated in the transaction that enqueues the job. So a
leader that dies between two statements has done both or neither. Schedules are independent: if
one fails, its error is recorded in its row, and the other schedules tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from rolehost import failpoints
from rolehost.api.contributions import Schedule
from rolehost.api.services import Job
from rolehost.api.unique import Unique
from rolehost.delivery import cron, leases, tickstate
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.tickstate import TickState
from rolehost.delivery.work import Work
from rolehost.errors import StorageUnavailable
from rolehost.failures import describe

log = structlog.get_logger(__name__)

LEASE = "scheduler"

#: Seconds until the next try, if the ticks of a schedule cannot be computed.
_RETRY = 60.0


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
        # By schedule: its row and the time when nothing was due, and the next tick. PERF: the
        # schedules are looked at each second, and a cron expression takes 0.1 ms.
        self._idle: dict[str, tuple[TickState, int, int]] = {}

    def lead(self) -> bool:
        """Take or renew the leader lease; return whether this process leads."""
        runtime = self._runtime
        return leases.acquire(runtime.database, runtime.clock, LEASE, self._owner, self._lease)

    def step(self) -> float:
        """Enqueue the jobs of all ticks that are due; return the seconds until the next tick."""
        runtime = self._runtime
        now = runtime.clock.now()
        with runtime.database.session():
            states = {row[0]: TickState(*row) for row in runtime.database.read(tickstate.READ)}
        waits = [self._step_one(each, states.get(each.name), now) for each in self._schedules]
        return min(waits, default=3600.0)

    def _step_one(self, declared: Schedule, state: TickState | None, now: int) -> float:
        """Enqueue the due jobs of one schedule; its errors are recorded, not raised."""
        if state is not None and state.paused:
            return 3600.0
        idle = self._idle.get(declared.name)
        if idle is not None and idle[0] == state and idle[1] <= now < idle[2]:
            return (idle[2] - now) / 1000
        try:
            schedule = tickstate.in_force(declared, state)
            upcoming = cron.following(schedule, now)
            due = self._due(schedule, state, now)
            if state is not None and not due:
                self._idle[declared.name] = state, now, upcoming
            self._broken.pop(schedule.name, None)
        except StorageUnavailable:
            raise
        except Exception as error:  # for example a time zone that this machine does not have
            text = describe(error)
            if self._broken.get(declared.name) != text:
                self._broken[declared.name] = text
                self._failed(declared, None, text, now)
            return _RETRY
        if due:
            try:
                self._tick(schedule, due, now)
            except StorageUnavailable:
                raise
            except Exception as error:  # for example an unknown actor, wrong arguments
                self._failed(schedule, due[-1], describe(error), now)
        return (upcoming - now) / 1000

    def _due(self, schedule: Schedule, state: TickState | None, now: int) -> Sequence[int]:
        """Return the ticks that are due, milliseconds; insert or correct the schedule's row."""
        if state is None:
            # A new schedule begins now, so it has no missed ticks.
            self._write(
                "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)"
                " ON CONFLICT (schedule) DO NOTHING",
                (schedule.name, now),
            )
            return ()
        last = int(state.last_tick)
        if last <= now + tickstate.TOLERANCE:
            return cron.latest(
                schedule, last, now, schedule.missed_limit if schedule.missed == "all" else 1
            )
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
        return ()

    def _tick(self, schedule: Schedule, due: Sequence[int], now: int) -> None:
        with unit_of_work(self._runtime) as work:
            moved = work.transaction.execute(
                "UPDATE rolehost_ticks SET last_tick = ?"
                " WHERE schedule = ? AND last_tick < ? AND paused = 0",
                (due[-1], schedule.name, due[-1]),
            ).rowcount
            if not moved:
                return
            late = (now - due[-1]) / 1000
            if schedule.missed == "skip" and late > self._lease:
                log.info("tick skipped", schedule=schedule.name, late=late)
                return
            for tick in due:
                if not enqueue(work, schedule, cron.jitter(schedule, tick)).created:
                    log.info("tick skipped, a job has not finished", schedule=schedule.name)
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


def enqueue(work: Work, schedule: Schedule, delay: float = 0.0) -> Job:
    """Enqueue a job of a schedule; ``created`` is False if ``overlap`` forbids it.

    The text of the unique job, or the key, makes the database decide about overlaps.
    """
    name = f"rolehost.schedule {schedule.name}"
    options: dict[str, Any] = {}
    if schedule.overlap == "skip":
        options["unique"] = Unique(name, until="ended")
    elif schedule.overlap == "queue":
        options["key"] = name
    job = work.enqueue(schedule.actor, delay=delay, **options, **schedule.arguments)
    work.transaction.execute(
        "UPDATE rolehost_ticks SET last_job = CASE WHEN ? = 1 THEN ? ELSE last_job END,"
        " skipped = skipped + ? WHERE schedule = ?",
        (int(job.created), job.id, int(not job.created), schedule.name),
    )
    return job
