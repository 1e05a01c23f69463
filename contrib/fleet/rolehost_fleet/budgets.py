"""Check that database and stream have enough connections and partitions for all processes."""

from __future__ import annotations

from rolehost.api.contributions import Role

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember, named

#: Connections that a process needs in addition to one for each thread: maintenance and relay.
UPKEEP = 2


def check(fleet: Fleet, notes: Notes, connections: int | None) -> None:
    """Report too many database connections, pools that are too small, and idle consumers.

    Args:
        fleet: the fleet.
        notes: collects the problems.
        connections: the server's limit; None: the limit in the settings counts.
    """
    _total(fleet, notes, connections)
    _shares(fleet, notes)
    for member in fleet.members:
        _pool(member, notes)


def processes(member: FleetMember) -> int:
    """Return how many processes of one instance connect to its database."""
    return sum(member.processes(role) for role in member.roles)


def per_process(member: FleetMember) -> int | None:
    """Return the database connections of one process; None without a database or if unknown.

    A queue of the same plugin in the same database opens additional connections.
    """
    database = member.composition.backends.get("database")
    if database is None or database.value.fleet.connections is None:
        return None
    identity = database.value.fleet.identity
    return sum(
        owned.value.fleet.connections or 0
        for owned in member.composition.backends.values()
        if owned.plugin == database.plugin and owned.value.fleet.identity == identity
    )


def demand(member: FleetMember) -> int:
    """Return the maximum number of connections of all instances, during a rollout too."""
    instances = member.replicas + member.settings.surge if member.replicas else 0
    return instances * processes(member) * (per_process(member) or 0)


def limit(fleet: Fleet) -> tuple[int, FleetMember] | None:
    """Return the lowest limit in the settings, and the member that sets it."""
    limits = [
        (member.settings.database_connections, index)
        for index, member in enumerate(fleet.members)
        if member.settings.database_connections is not None
    ]
    if not limits:
        return None
    least, index = min(limits)
    return least, fleet.members[index]


def _total(fleet: Fleet, notes: Notes, asked: int | None) -> None:
    configured = limit(fleet)
    if asked is not None:
        most, where = asked, "the database server, max_connections"
    elif configured is not None:
        most, where = configured[0], configured[1].at("fleet.database_connections")
    else:
        return
    users = [member for member in fleet.members if demand(member)]
    total = sum(demand(member) for member in users)
    if total <= most:
        return
    notes.error(
        "too-many-connections",
        users,
        [where],
        "all processes together may open more connections than the database allows",
        expected=f"at most {most}",
        got=f"{total}: {named((member, _sum(member)) for member in users)}",
        fix="lower replicas, processes or the pool, or raise the limit of the server",
    )


def _sum(member: FleetMember) -> str:
    count, surge = str(member.replicas), member.settings.surge
    if surge:
        count = f"({count} + {surge} in a rollout)"
    return (
        f"{count} replicas × {processes(member)} processes × {per_process(member)} connections"
        f" = {demand(member)}"
    )


def _shares(fleet: Fleet, notes: Notes) -> None:
    """Report consumers that can never get a partition."""
    groups: dict[str, dict[FleetMember, None]] = {}
    for member in fleet.members:
        for owned in member.handlers_run():
            groups.setdefault(owned.value.group, {})[member] = None
    for group, found in groups.items():
        members = list(found)
        partitions = [m.composition.backends["stream"].value.fleet.partitions for m in members]
        most = max((count for count in partitions if count is not None), default=None)
        total = sum(member.replicas * member.processes("consumer") for member in members)
        if most is None or None in partitions or total <= most:
            continue
        plugin = members[0].composition.backends["stream"].plugin
        notes.warning(
            "consumers-idle",
            members,
            (member.at("consumer.processes") for member in members),
            f"the consumer group {group} has more processes than its topics have partitions: some"
            " never get an event",
            expected=f"at most {most} consumer processes, or more partitions",
            got=f"{total}: "
            + named((m, f"{m.replicas} × {m.processes('consumer')}") for m in members),
            fix=f"lower replicas or [consumer] processes; or raise [{plugin}] partitions before a"
            " topic is created",
        )


def _pool(member: FleetMember, notes: Notes) -> None:
    database = member.composition.backends.get("database")
    if database is None or database.value.fleet.connections is None:
        return
    host = member.deployment.host
    threads: dict[Role, int] = {
        "http": host.http.threads,
        "worker": host.worker.threads,
        "consumer": host.consumer.threads,
    }
    for role, count in threads.items():
        if role in member.roles and database.value.fleet.connections < count + UPKEEP:
            notes.warning(
                "pool-too-small",
                [member],
                [member.at(f"{database.plugin}.pool_size"), member.at(f"{role}.threads")],
                f"the connection pool of a {role} process is too small: its threads wait for each"
                " other's connections",
                expected=f"at least {count + UPKEEP}: {count} of {role}.threads and {UPKEEP} for"
                " maintenance of the host",
                got=f"{database.value.fleet.connections} connections in each process",
                fix=f"enlarge the pool of [{database.plugin}], or lower {role}.threads",
            )
