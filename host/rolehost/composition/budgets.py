"""Durations and sizes that must be consistent with each other."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api.contributions import Handler, Role
from rolehost.composition.model import Contributions
from rolehost.composition.problems import Problems


def check(contributions: Contributions, roles: Sequence[Role], problems: Problems) -> None:
    """Report a late heartbeat, grace periods that are too short, and batch sizes below 1."""
    host = problems.deployment.host
    for owned in contributions.of(Handler):
        if owned.value.batch < 1:
            name, batch = owned.value.name, owned.value.batch
            problems.about(owned, "handler-batch", name=name, batch=batch)
    lease, heartbeat = host.delivery.lease, host.delivery.heartbeat
    if heartbeat > lease / 3:
        problems.add(
            "heartbeat-too-long",
            problems.at("delivery.heartbeat"),
            most=lease / 3,
            heartbeat=heartbeat,
            lease=lease,
        )
    graces = {
        "http": host.http.grace + host.http.shutdown_delay,
        "worker": host.worker.grace,
        "consumer": host.consumer.grace,
    }
    grace = host.supervisor.grace
    for role, seconds in graces.items():
        if role in roles and seconds > grace:
            where = problems.at("supervisor.grace")
            problems.add("grace-too-short", where, role=role, seconds=seconds, grace=grace)
