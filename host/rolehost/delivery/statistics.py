"""Counts of jobs, events, dead letters and processes at one moment, from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rolehost.api.observe import LagStatistics, ProcessStatistics, QueueStatistics, Statistics
from rolehost.api.services import Clock
from rolehost.delivery.jobs import ACTIVE
from rolehost.errors import StorageError
from rolehost.storage import Database, Queue, Stream

#: States of jobs that are not over, sorted.
UNFINISHED = tuple(sorted(ACTIVE))


def collect(
    database: Database,
    stream: Stream | None,
    queue: Queue | None,
    subscriptions: Sequence[tuple[str, str]],
    clock: Clock,
    *,
    queues: set[str],
    roles: Sequence[str],
    restarts: Mapping[str, Mapping[str, int]],
) -> Statistics:
    """Count jobs, outbox, dead letters, lag and processes.

    ``subscriptions`` are the (topic, group) pairs to return lags for; there are no lags while the
    stream is unavailable. ``queues`` and ``roles`` are listed even if they are empty; the queues
    found are added to ``queues``. ``restarts`` counts replaced processes by role and reason.
    """
    now = clock.now()
    with database.session():
        rows = database.read(
            "SELECT queue, state, count(*), min(run_at) FROM rolehost_jobs"
            f" WHERE state IN ({', '.join(map(repr, UNFINISHED))})"
            " GROUP BY queue, state ORDER BY queue, state"
        )
        outbox = database.read("SELECT count(*), min(created_at) FROM rolehost_outbox")[0]
        dead_jobs = database.read("SELECT count(*) FROM rolehost_jobs WHERE state = 'dead'")
        dead_events = database.read("SELECT count(*) FROM rolehost_dead_events")
        living = database.read(
            "SELECT role, count(CASE WHEN expires_at >= ? THEN 1 END) FROM rolehost_processes"
            " GROUP BY role",
            (now,),
        )
    return Statistics(
        queues=_queues(rows, queues, now),
        outbox_count=outbox[0],
        outbox_age=0.0 if outbox[1] is None else max(0.0, (now - outbox[1]) / 1000),
        dead_jobs=dead_jobs[0][0],
        dead_events=dead_events[0][0],
        dead_messages=dead_messages(queue),
        lags=_lags(stream, subscriptions),
        processes=processes(dict(living), roles, restarts),
    )


def _queues(
    rows: Sequence[tuple[str, str, int, int]], names: set[str], now: int
) -> tuple[QueueStatistics, ...]:
    """Return the counts of every queue and state, even if 0; add found queues to ``names``."""
    found = {(queue, state): (count, oldest) for queue, state, count, oldest in rows}
    names.update(queue for queue, _ in found)
    return tuple(
        QueueStatistics(queue, state, count, max(0.0, (now - oldest) / 1000))
        for queue in sorted(names)
        for state in UNFINISHED
        for count, oldest in (found.get((queue, state), (0, now)),)
    )


def processes(
    living: Mapping[str, int], roles: Sequence[str], restarts: Mapping[str, Mapping[str, int]]
) -> tuple[ProcessStatistics, ...]:
    """Count living processes of the fleet and replacements by this supervisor, by role."""
    return tuple(
        ProcessStatistics(role, living.get(role, 0), counts.get("death", 0), counts.get("hang", 0))
        for role in sorted({*living, *roles, *restarts})
        for counts in (restarts.get(role, {}),)
    )


def dead_messages(queue: Queue | None) -> int | None:
    """Count the dead messages of ephemeral actors; None if the number is not known."""
    if queue is None:
        return None
    try:
        return queue.count_dead_messages()
    except StorageError:
        return None


def _lags(
    stream: Stream | None, subscriptions: Sequence[tuple[str, str]]
) -> tuple[LagStatistics, ...]:
    if stream is None:
        return ()
    try:
        return tuple(
            LagStatistics(topic, group, stream.lag([topic], group))
            for topic, group in sorted(set(subscriptions))
        )
    except StorageError:
        # The other numbers are needed most while the stream is unavailable.
        return ()
