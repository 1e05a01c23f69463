"""Part of ``schedules``: what each schedule must do, computed without the host's code.

Ticks of cron expressions are found by looking at the clock on the wall of the zone, minute after
minute. Only the forms of the proof are understood: ``*/n`` minutes with an optional second, hourly,
and a fixed time each day.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rolehost.api import Schedule

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

#: On 29 March 2026 the clocks of Vienna go forward, on 5 April those of Auckland go back.
START = int(datetime(2026, 3, 28, 20, tzinfo=UTC).timestamp() * 1000)
END = START + 7 * DAY

#: Milliseconds by which a last tick may be ahead of the clock before it is set back.
TOLERANCE = 60_000


@dataclass
class Model:
    """What a schedule must have done so far.

    Attributes:
        schedule: the schedule, with the times in force.
        ticks: all its ticks around the simulated week, milliseconds, ascending.
        lease: seconds after which a tick counts as missed.
        last: the last tick; None before the first step.
        jobs: number of its jobs.
        skipped: ticks without a job, because the job before had not finished.
        paused: whether it is paused.
        unfinished_until: when its unfinished job ends, if its jobs must not overlap; 0: it has
            none, -1: it has a new one.
    """

    schedule: Schedule
    ticks: Sequence[int]
    lease: float
    last: int | None = None
    jobs: int = 0
    skipped: int = 0
    paused: bool = False
    unfinished_until: int = 0

    def due(self, now: int) -> Sequence[int]:
        """Return the ticks since the last one."""
        if self.paused or self.last is None or self.last > now + TOLERANCE:
            return ()
        first, end = (bisect.bisect_right(self.ticks, at) for at in (self.last, now))
        return self.ticks[first:end]

    def would_tick(self, now: int) -> bool:
        """Whether a step at this time tries to write jobs."""
        return bool(self._wanted(now))

    def _wanted(self, now: int) -> int:
        """Return the number of jobs that a step tries to write."""
        due = self.due(now)
        if not due:
            return 0
        match self.schedule.missed:
            case "all":
                return min(len(due), self.schedule.missed_limit)
            case "skip":
                return int((now - due[-1]) / 1000 <= self.lease)
        return 1

    def step(self, now: int) -> None:
        """Do what the schedule must do at this time."""
        if self.paused:
            return
        if self.last is None or self.last > now + TOLERANCE:
            self.last = now
            return
        due, wanted = self.due(now), self._wanted(now)
        if due:
            self.last = due[-1]
        if self.schedule.overlap == "skip" and wanted:
            created = int(not self.unfinished_until)
            self.skipped += wanted - created
            self.unfinished_until = self.unfinished_until or -1
            wanted = created
        self.jobs += wanted


def model_of(schedule: Schedule, lease: float) -> Model:
    """Return the model of a schedule that has not ticked."""
    first, end = START - DAY, END + 2 * DAY
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        return Model(schedule, range(-(-first // step) * step, end, step), lease)
    assert schedule.cron is not None
    *seconds, minute, hour, _day, _month, _weekday = schedule.cron.split()
    zone = ZoneInfo(schedule.timezone)
    if hour.isdigit():
        return Model(schedule, _daily(zone, int(hour), int(minute), first, end), lease)
    offset = int(seconds[0]) * 1000 if seconds else 0
    step = int(minute.removeprefix("*/")) if minute.startswith("*/") else 60
    ticks = [
        at + offset
        for at in range(first // MINUTE * MINUTE, end, MINUTE)
        if datetime.fromtimestamp(at / 1000, zone).minute % step == 0
    ]
    return Model(schedule, ticks, lease)


def _daily(zone: ZoneInfo, hour: int, minute: int, first: int, end: int) -> list[int]:
    """Return a fixed time of each day: the first, if there are two; when it has passed, if none."""
    ticks = []
    day = datetime.fromtimestamp(first / 1000, zone).date()
    while True:
        wall = datetime(day.year, day.month, day.day, hour, minute)
        at = int(wall.replace(tzinfo=zone, fold=0).timestamp() * 1000)
        if datetime.fromtimestamp(at / 1000, zone).replace(tzinfo=None) != wall:
            # The time does not exist: walk to the minute in which the clocks jump over it.
            at = int(wall.replace(tzinfo=zone).timestamp() * 1000) // MINUTE * MINUTE - HOUR
            while datetime.fromtimestamp(at / 1000, zone).replace(tzinfo=None) < wall:
                at += MINUTE
        if at >= end:
            return ticks
        ticks.append(at)
        day += timedelta(days=1)
