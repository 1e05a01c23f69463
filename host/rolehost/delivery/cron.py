"""The ticks of a schedule: when it is due, and when it is due next."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rolehost.api.contributions import Schedule

#: How far back the last ticks are searched, in milliseconds: one minute to 60 years. Each step runs
#: only if the smaller ones had too few, so that none iterates over very many ticks.
_STEPS = (
    60_000,
    *(hours * 3_600_000 for hours in (1, 25, 32 * 24, 366 * 24, 9 * 366 * 24, 60 * 366 * 24)),
)

#: Number of ticks whose distances are compared with ``jitter``: more than two days of hours.
_COMPARED = 60


def latest(schedule: Schedule, after: int, now: int, most: int = 1) -> Sequence[int]:
    """Return the last ticks in ``(after, now]``, at most ``most``, the oldest first.

    Times are milliseconds. The cost depends on ``most``, not on ``after``.
    """
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        last = now // step * step
        return range(max(last - (most - 1) * step, (after // step + 1) * step), last + 1, step)
    found: deque[int] = deque(maxlen=most)
    for back in _STEPS:
        start = max(after, now - back)
        found.clear()
        for tick in _ticks(schedule, start):
            if tick > now:
                break
            found.append(tick)
        if len(found) == most or start == after:
            break
    return found


def following(schedule: Schedule, after: int) -> int:
    """Return the first tick after a moment, milliseconds. Raises ValueError if it never ticks."""
    if schedule.every is not None:
        step = int(schedule.every * 1000)
        return (after // step + 1) * step
    for tick in _ticks(schedule, after):
        return tick
    raise ValueError(f"the cron expression {schedule.cron!r} never ticks")


def check(schedule: Schedule, now: int) -> None:
    """Raise ValueError or another error if the times of a schedule are not valid."""
    ZoneInfo(schedule.timezone)
    following(schedule, now)
    check_jitter(schedule, now)


def check_jitter(schedule: Schedule, now: int) -> None:
    """Raise ValueError if ``jitter`` is not shorter than the time between the next ticks."""
    if schedule.every is not None or not schedule.jitter:
        return  # a Schedule has checked every
    ticks = list(itertools.islice(_ticks(schedule, now), _COMPARED))
    shortest = min((later - tick for tick, later in itertools.pairwise(ticks)), default=None)
    if shortest is not None and schedule.jitter * 1000 >= shortest:
        raise ValueError(
            f"jitter must be less than the {shortest / 1000:g} s between two ticks,"
            f" not {schedule.jitter:g} s"
        )


def jitter(schedule: Schedule, tick: int) -> float:
    """Return the seconds by which the job of a tick is late; the same in every process."""
    if not schedule.jitter:
        return 0.0
    return random.Random(f"{schedule.name} {tick}").uniform(0, schedule.jitter)


def _ticks(schedule: Schedule, after: int) -> Iterator[int]:
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
