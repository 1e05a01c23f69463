"""Check that grace periods leave enough time to stop."""

from __future__ import annotations

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember


def check(fleet: Fleet, notes: Notes) -> None:
    """Report grace periods, time limits and intervals that contradict each other."""
    for member in fleet.members:
        if member.roles:
            _orchestrator(member, notes)
            _supervisor(member, notes)
            _polls(member, notes)
            _publishing(member, notes)
            _ephemeral(member, notes)


def graces(member: FleetMember) -> dict[str, float]:
    """Return the grace period of each running role in seconds, without the shutdown delay."""
    host = member.deployment.host
    every = {
        "http": host.http.grace,
        "consumer": host.consumer.grace,
        "worker": host.worker.grace,
    }
    return {role: seconds for role, seconds in every.items() if role in member.roles}


def _orchestrator(member: FleetMember, notes: Notes) -> None:
    given = member.settings.grace
    needed = member.deployment.host.supervisor.grace
    if given is None or given > needed:
        return
    notes.error(
        "orchestrator-grace",
        [member],
        [member.at("fleet.grace"), member.at("supervisor.grace")],
        "the orchestrator kills the instances before their supervisor has stopped them",
        expected=f"more than supervisor.grace, {needed:g} seconds",
        got=f"fleet.grace of {given:g} seconds",
        fix="lengthen the orchestrator's grace period (and set fleet.grace to it), or"
        " shorten supervisor.grace",
    )


def _supervisor(member: FleetMember, notes: Notes) -> None:
    """Roles drain one after the other, http first; the shutdown delay of http passes in full."""
    host = member.deployment.host
    delay = host.http.shutdown_delay if "http" in member.roles else 0.0
    for role, seconds in graces(member).items():
        if delay + seconds > host.supervisor.grace:
            notes.error(
                "shutdown-budget",
                [member],
                [member.at("supervisor.grace"), member.at(f"{role}.grace")],
                f"the supervisor kills the {role} role before its grace period is over: the roles"
                " stop one after the other, and http waits for its shutdown_delay first",
                expected=f"supervisor.grace of at least {delay + seconds:g} seconds:"
                f" {delay:g} of http.shutdown_delay and {seconds:g} of {role}.grace",
                got=f"{host.supervisor.grace:g} seconds",
                fix=f"lengthen supervisor.grace, or shorten {role}.grace or http.shutdown_delay",
            )


def _polls(member: FleetMember, notes: Notes) -> None:
    owned = member.composition.backends.get("stream")
    if owned is None or owned.value.fleet.poll_interval is None or "consumer" not in member.roles:
        return
    grace = member.deployment.host.consumer.grace
    if owned.value.fleet.poll_interval > grace:
        return
    notes.error(
        "poll-interval",
        [member],
        [member.at(f"{owned.plugin}.poll_interval"), member.at("consumer.grace")],
        "a consumer that gives partitions back waits for its handlers without polling. It may"
        " lose its membership meanwhile, and then events are handled twice",
        expected=f"poll_interval above consumer.grace, {grace:g} seconds",
        got=f"{owned.value.fleet.poll_interval:g} seconds",
        fix=f"lengthen [{owned.plugin}] poll_interval, or shorten consumer.grace",
    )


def _publishing(member: FleetMember, notes: Notes) -> None:
    owned = member.composition.backends.get("stream")
    if owned is None or owned.value.fleet.publish_timeout is None:
        return
    lease = member.deployment.host.delivery.lease
    if owned.value.fleet.publish_timeout < lease:
        return
    notes.error(
        "publish-timeout",
        [member],
        [member.at(f"{owned.plugin}.publish_timeout"), member.at("delivery.lease")],
        "a relay may wait for the brokers until its lease has expired: another relay then sends"
        " the same events",
        expected=f"less than delivery.lease, {lease:g} seconds",
        got=f"{owned.value.fleet.publish_timeout:g} seconds",
        fix=f"shorten [{owned.plugin}] publish_timeout",
    )


def _ephemeral(member: FleetMember, notes: Notes) -> None:
    """Report ephemeral jobs that may outlast the grace period: their effects are not undone."""
    grace = member.deployment.host.worker.grace
    for owned in member.actors_run():
        limit = owned.value.time_limit
        if owned.value.durable or (limit is not None and limit <= grace):
            continue
        notes.warning(
            "time-limit-over-grace",
            [member],
            [owned.location, member.at("worker.grace")],
            f"the ephemeral actor {owned.value.name} may run longer than a stopping worker waits:"
            " then it is interrupted and runs again, and its effects stay",
            expected=f"a time limit of at most worker.grace, {grace:g} seconds",
            got="no time limit" if limit is None else f"a time limit of {limit:g} seconds",
            fix="shorten its time_limit, lengthen worker.grace, or make it durable",
        )
