"""The status of a fleet, read from its database, stream and queue. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import msgspec
from rolehost.composition.manifest import Manifest
from rolehost.delivery import leases, ticks, tickstate
from rolehost.delivery.statistics import dead_messages
from rolehost.delivery.tickstate import TickState
from rolehost.errors import StorageError
from rolehost.schema import Drift
from rolehost.services import manifests
from rolehost.storage import Database, Queue, Stream

#: States of jobs that a process has claimed.
_HELD = ("claimed", "running")


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A living process, from its row in the table ``rolehost_processes``.

    Attributes:
        host: name of its machine.
        manifest: hash of its manifest; None if the process runs an older rolehost.
        state: ``starting``, ``ready`` or ``draining``; ``hung``: a part of it makes no progress;
            ``unready: `` and the hanging process of the same deployment. None if the process runs
            an older rolehost.
        in_flight: number of requests, jobs or events in flight; None: unknown.
        since: start time, milliseconds since the epoch.
        renewed: when the process renewed the row, by the clock that it uses; None if it runs an
            older rolehost.
    """

    id: str
    deployment: str
    role: str
    slot: int
    incarnation: int
    host: str
    pid: int
    manifest: str | None
    version: str | None
    python: str | None
    state: str | None
    in_flight: int | None
    since: int
    renewed: int | None


class Jobs(NamedTuple):
    """The jobs of one actor in one queue.

    Attributes:
        waiting: number of jobs to run, now or later.
        held: number of jobs that a process has claimed.
        dead: number of dead letters.
        oldest: when the oldest ready job became ready, milliseconds since the epoch; None if no
            job is ready.
    """

    queue: str
    actor: str
    waiting: int
    held: int
    dead: int
    oldest: int | None


class Unread(NamedTuple):
    """Unread, dead and parked events of a topic for one consumer group.

    ``records`` is None if the number is unknown.
    """

    topic: str
    group: str
    records: int | None
    dead: int
    parked: int = 0


class Outbox(NamedTuple):
    """Committed events of one topic that are not relayed; ``oldest`` in milliseconds."""

    topic: str
    events: int
    oldest: int


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a fleet.

    Attributes:
        now: when it was read, milliseconds since the epoch.
        processes: living processes, sorted by deployment, role and slot.
        manifests: hash → manifest, of living processes and of processes of the last weeks.
        jobs: jobs, sorted by queue and actor.
        unread: unread events, sorted by topic and group.
        outbox: events in the outbox, sorted by topic.
        messages: queue → number of waiting ephemeral messages, without empty queues.
        dead_messages: number of dead ephemeral messages; None: unknown.
        leader: deployment, role and slot of the leading scheduler; None: no process leads.
        relays: number of outbox shards that living processes hold.
        stream: whether the stream answered; None if the fleet has no stream.
        drifts: deployment → differences between the schema and the deployment's code; only for
            deployments whose file is given.
        ticks: state of each known schedule.
    """

    now: int
    processes: tuple[Live, ...]
    manifests: dict[str, Manifest]
    jobs: tuple[Jobs, ...]
    unread: tuple[Unread, ...]
    outbox: tuple[Outbox, ...]
    messages: dict[str, int]
    dead_messages: int | None
    leader: str | None
    relays: int
    stream: bool | None
    drifts: dict[str, Drift] = {}
    ticks: tuple[TickState, ...] = ()

    def manifest(self, process: Live) -> Manifest | None:
        """Return the manifest of a process, or None if it is unknown."""
        return self.manifests.get(process.manifest) if process.manifest else None

    def running(self) -> tuple[Manifest, ...]:
        """Return the running manifests, one for each deployment and hash, with the living roles."""
        roles: dict[tuple[str, str], dict[str, Manifest]] = {}
        for process in self.processes:
            manifest = self.manifest(process)
            if manifest is not None:
                roles.setdefault((process.deployment, manifest.shared_hash), {})[process.role] = (
                    manifest
                )
        return tuple(_merged(by_role) for _, by_role in sorted(roles.items()))


def read(
    database: Database,
    stream: Stream | None,
    now: int,
    expected: Collection[Manifest] = (),
    depth: Callable[[str], int] | None = None,
    queue: Queue | None = None,
) -> FleetStatus:
    """Read the status of a fleet.

    Args:
        database: the service database.
        stream: the stream; None if the fleet has no stream.
        now: milliseconds since the epoch.
        expected: manifests whose groups and queues are read, in addition to the stored ones.
        depth: returns how many ephemeral messages wait in a queue; None: do not count them.
        queue: the queue of ephemeral messages; None: do not count dead messages.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    stored = manifests.read(database)
    with database.session():
        processes = _processes(database, now)
        jobs = _jobs(database, now)
        outbox = _outbox(database)
        leases_held = _leases(database, now, processes)
        dead, parked = _dead_events(database), _parked_events(database)
    leading = [process for name, process in leases_held if name == ticks.LEASE]
    known = (*stored.values(), *expected)
    unread, asked = _unread(stream, known, dead, parked)
    return FleetStatus(
        now=now,
        processes=processes,
        manifests=stored,
        jobs=jobs,
        unread=unread,
        outbox=outbox,
        messages=_messages(depth, known),
        dead_messages=dead_messages(queue),
        leader=who(leading[0]) if leading else None,
        ticks=_ticks(database, known),
        relays=sum(name.startswith("relay:") for name, _ in leases_held),
        stream=asked,
    )


def who(process: Live) -> str:
    """Return the name of a process: ``api http.0``."""
    return f"{process.deployment} {process.role}.{process.slot}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 job``, ``3 jobs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _processes(database: Database, now: int) -> tuple[Live, ...]:
    has_manifest = any(
        column.name == "manifest" for column in database.peewee.get_columns("rolehost_processes")
    )
    columns = "manifest, version, python, state, in_flight, renewed_at"
    if not has_manifest:  # the schema is older
        columns = "NULL, NULL, NULL, NULL, NULL, NULL"
    rows = database.read(
        f"SELECT id, deployment, role, slot, incarnation, host, pid, started_at, expires_at,"
        f" {columns} FROM rolehost_processes ORDER BY deployment, role, slot, started_at"
    )
    return tuple(
        Live(
            id=row[0],
            deployment=row[1],
            role=row[2],
            slot=row[3],
            incarnation=row[4],
            host=row[5].partition(" ")[0],
            pid=row[6],
            since=row[7],
            manifest=row[9],
            version=row[10],
            python=row[11],
            state=row[12],
            in_flight=row[13],
            renewed=row[14],
        )
        for row in rows
        if leases.is_live(row[5], row[6], row[8], now)
    )


def _jobs(database: Database, now: int) -> tuple[Jobs, ...]:
    rows = database.read(
        "SELECT queue, actor, state, count(*), min(run_at) FROM rolehost_jobs"
        " WHERE state IN ('available', 'scheduled', 'retrying', 'claimed', 'running', 'dead')"
        " GROUP BY queue, actor, state"
    )
    found: dict[tuple[str, str], Jobs] = {}
    for queue, actor, state, count, run_at in rows:
        known = found.get((queue, actor), Jobs(queue, actor, 0, 0, 0, None))
        if state in _HELD:
            known = known._replace(held=known.held + count)
        elif state == "dead":
            known = known._replace(dead=count)
        else:
            due = [each for each in (known.oldest, run_at) if each is not None and each <= now]
            known = known._replace(waiting=known.waiting + count, oldest=min(due, default=None))
        found[queue, actor] = known
    return tuple(found[key] for key in sorted(found))


def _outbox(database: Database) -> tuple[Outbox, ...]:
    rows = database.read(
        "SELECT topic, count(*), min(created_at) FROM rolehost_outbox GROUP BY topic ORDER BY topic"
    )
    return tuple(Outbox(*row) for row in rows)


def _leases(database: Database, now: int, processes: Iterable[Live]) -> list[tuple[str, Live]]:
    """Return the names of leases that living processes hold, each with its holder."""
    living = {process.id: process for process in processes}
    rows = database.read(
        "SELECT name, owner FROM rolehost_leases WHERE expires_at >= ? AND owner <> ''", (now,)
    )
    return [(name, living[owner]) for name, owner in rows if owner in living]


def _dead_events(database: Database) -> dict[tuple[str, str], int]:
    rows = database.read(
        "SELECT topic, consumer_group, count(*) FROM rolehost_dead_events"
        " GROUP BY topic, consumer_group"
    )
    return {(topic, group): count for topic, group, count in rows}


def _parked_events(database: Database) -> dict[tuple[str, str], int]:
    if not database.peewee.table_exists("rolehost_parked_events"):
        return {}  # the schema is older
    rows = database.read(
        "SELECT topic, consumer_group, count(*) FROM rolehost_parked_keys AS lane"
        " JOIN rolehost_parked_events ON parked_key = lane.id GROUP BY topic, consumer_group"
    )
    return {(topic, group): count for topic, group, count in rows}


def _unread(
    stream: Stream | None,
    manifests: Iterable[Manifest],
    dead: dict[tuple[str, str], int],
    parked: dict[tuple[str, str], int],
) -> tuple[tuple[Unread, ...], bool | None]:
    groups = {(each.topic, each.group) for manifest in manifests for each in manifest.handlers}
    counted: list[Unread] = []
    asked: bool | None = None if stream is None else True
    for topic, group in sorted({*groups, *dead, *parked}):
        records = None
        if stream is not None and asked:
            try:
                records = stream.lag([topic], group)
            except StorageError:
                # During an outage of the stream, the rest of the status is needed most.
                asked = False
        place = topic, group
        counted.append(Unread(*place, records, dead.get(place, 0), parked.get(place, 0)))
    return tuple(counted), asked


def _ticks(database: Database, manifests: Iterable[Manifest]) -> tuple[TickState, ...]:
    """Return the states of schedules that a deployment has; removed schedules leave rows."""
    names = {schedule.name for manifest in manifests for schedule in manifest.schedules}
    states = tickstate.read(database)
    return tuple(states[name] for name in sorted(names & states.keys()))


def _messages(depth: Callable[[str], int] | None, manifests: Iterable[Manifest]) -> dict[str, int]:
    if depth is None:
        return {}
    queues = {
        actor.queue for manifest in manifests for actor in manifest.actors if not actor.durable
    }
    found = {}
    for queue in sorted(queues):
        try:
            found[queue] = depth(queue)
        except StorageError:
            return {}  # unknown during an outage of the queue
    return {queue: count for queue, count in found.items() if count}


def _merged(by_role: dict[str, Manifest]) -> Manifest:
    """Merge the manifests of processes of several roles into one with all these roles."""
    best = max(by_role.values(), key=lambda manifest: len(manifest.routes or ()))
    return msgspec.structs.replace(best, roles=tuple(sorted(by_role)))
