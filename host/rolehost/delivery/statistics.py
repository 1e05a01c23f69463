"""Counts of jobs, events, dead letters and processes at one moment, from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rolehost.api.observe import LagStatistics, ProcessStatistics, QueueStatistics, Statistics
from rolehost.api.services import Clock
from rolehost.delivery import parking, queries
from rolehost.delivery.jobs import ACTIVE
from rolehost.errors import StorageError
from rolehost.storage import Database, Queue, Stream

#: States of jobs that are not over, sorted.
UNFINISHED = tuple(sorted(ACTIVE))

#: No index has the times of all limited jobs. So their oldest one is looked for among the first
#: hundred of an actor by id. Comparing the kind as a row makes the planner read the index of kinds.
_FIRST_OF_KIND = (
    f"SELECT state, queue, actor, run_at FROM rolehost_jobs WHERE {queries.LISTED}"
    " AND (state, queue, actor) >= (?, ?, ?) ORDER BY state, queue, actor, id LIMIT 100"
)


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
    """Count jobs, outbox, dead letters, lag and processes; see :func:`queries.count`.

    ``subscriptions`` are the (topic, group) pairs to return lags for; there are no lags while the
    stream is unavailable. ``queues`` and ``roles`` are listed even if they are empty; the queues
    found are added to ``queues``. ``restarts`` counts replaced processes by role and reason.
    """
    now = clock.now()
    with database.session():
        rows = _unfinished(database, now)
        outbox_count = queries.count(database, "rolehost_outbox", "true")
        outbox = database.read("SELECT created_at FROM rolehost_outbox ORDER BY id LIMIT 1")
        dead_jobs = queries.count(database, "rolehost_jobs", "state = 'dead'")
        dead_events = queries.count(database, "rolehost_dead_events", "true")
        parked_events = parking.count(database)
        living = database.read(
            "SELECT role, count(CASE WHEN expires_at >= ? THEN 1 END) FROM rolehost_processes"
            " GROUP BY role",
            (now,),
        )
    return Statistics(
        queues=_queues(rows, queues, now),
        outbox_count=outbox_count,
        outbox_age=max(0.0, (now - outbox[0][0]) / 1000) if outbox else 0.0,
        dead_jobs=dead_jobs,
        dead_events=dead_events,
        parked_events=parked_events,
        dead_messages=dead_messages(queue),
        lags=_lags(stream, subscriptions),
        processes=processes(dict(living), roles, restarts),
    )


def _unfinished(database: Database, now: int) -> list[tuple[str, str, int, int]]:
    """Return queue, state, count and oldest ``run_at`` of the jobs that are not over.

    The oldest job of a state that waits for a time matters only if its time has come.
    """
    rows = database.read(
        "SELECT queue, state, count(*), min(run_at) FROM rolehost_jobs"
        " WHERE state IN ('claimed', 'running') GROUP BY queue, state"
    )
    oldest: dict[tuple[str, str], int] = {}
    due = database.read(
        "SELECT queue, state, run_at FROM rolehost_jobs"
        " WHERE state IN ('scheduled', 'retrying') AND run_at <= ? ORDER BY run_at LIMIT 1000",
        (now,),
    )
    for queue, state, run_at in _first_available(database) + due:
        oldest[queue, state] = min(run_at, oldest.get((queue, state), now))
    kinds = queries.first_jobs(database, "state, queue", "actor, id", queries.LISTED)
    for state, queue, *_ in kinds:
        if state in UNFINISHED:
            number = queries.count(
                database,
                "rolehost_jobs",
                f"{queries.LISTED} AND state = ? AND queue = ?",
                (state, queue),
            )
            rows.append((queue, state, number, oldest.get((queue, state), now)))
    return rows


def _first_available(database: Database) -> list[tuple[str, str, int]]:
    """Return queue, state and ``run_at`` of available jobs, among them the oldest of each queue."""
    unlimited = "state = 'available' AND partition_id IS NULL"
    first = queries.first_jobs(database, "queue, priority", "run_at, id", unlimited)
    found = [(queue, "available", run_at) for queue, _, run_at, _ in first]
    kinds = queries.first_jobs(database, "state, queue, actor", "id", queries.LISTED)
    for *kind, _ in kinds:
        if kind[0] == "available":
            rows = database.read(_FIRST_OF_KIND, kind)
            found += [(each[1], each[0], each[3]) for each in rows if [*each[:3]] == kind]
    return found


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
        ProcessStatistics(
            role,
            living.get(role, 0),
            *(counts.get(reason, 0) for reason in ("death", "hang", "stuck")),
        )
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
