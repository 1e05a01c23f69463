"""How the deployment stands at one moment, from the tables."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api.observe import (
    LagStatistics,
    ProcessStatistics,
    QueueStatistics,
    Statistics,
)
from rolehost.api.services import Clock
from rolehost.errors import StorageError
from rolehost.storage import Database, Queue, Stream


def collect(
    database: Database,
    stream: Stream | None,
    queue: Queue | None,
    subscriptions: Sequence[tuple[str, str]],
    clock: Clock,
) -> Statistics:
    """Count jobs, outbox, dead letters, lag and processes.

    Args:
        database: the service database.
        stream: the stream, when the deployment has one; while it is away there are no lags.
        queue: the queue, when it carries ephemeral messages; while it is away nobody knows of
            dead ones.
        subscriptions: (topic, group) of the handlers whose lag is asked for.
        clock: the time.
    """
    now = clock.now()
    with database.session():
        queues = database.read(
            "SELECT queue, state, count(*), min(run_at) FROM rolehost_jobs"
            " WHERE state IN ('available', 'scheduled', 'claimed', 'running', 'retrying')"
            " GROUP BY queue, state ORDER BY queue, state"
        )
        outbox = database.read("SELECT count(*), min(created_at) FROM rolehost_outbox")[0]
        dead_jobs = database.read("SELECT count(*) FROM rolehost_jobs WHERE state = 'dead'")
        dead_events = database.read("SELECT count(*) FROM rolehost_dead_events")
        processes = database.read(
            "SELECT role, sum(CASE WHEN expires_at >= ? THEN 1 ELSE 0 END),"
            " sum(incarnation - 1) FROM rolehost_processes GROUP BY role ORDER BY role",
            (now,),
        )
    return Statistics(
        queues=tuple(
            QueueStatistics(queue, state, count, max(0.0, (now - oldest) / 1000))
            for queue, state, count, oldest in queues
        ),
        outbox_count=outbox[0],
        outbox_age=0.0 if outbox[1] is None else max(0.0, (now - outbox[1]) / 1000),
        dead_jobs=dead_jobs[0][0],
        dead_events=dead_events[0][0],
        dead_messages=dead_messages(queue),
        lags=_lags(stream, subscriptions),
        processes=tuple(ProcessStatistics(role, alive, lost) for role, alive, lost in processes),
    )


def dead_messages(queue: Queue | None) -> int | None:
    """Count the ephemeral messages that were given up; None: not known."""
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
        # Not known while the stream is away, when all the rest is wanted most.
        return ()
