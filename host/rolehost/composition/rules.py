"""What a composition's parts must be to each other, beyond having names of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rolehost.api.contributions import ROLES, Actor, Handler, Role, Route, Schedule
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Degraded, Plugin
from rolehost.composition.report import Report
from rolehost.composition.schedules import check_schedules
from rolehost.composition.signatures import check_signatures
from rolehost.loopback import is_address
from rolehost.suggest import did_you_mean, one_of

#: What makes a deployment a role.
MAKES: dict[Role, type] = {
    "http": Route,
    "worker": Actor,
    "consumer": Handler,
    "scheduler": Schedule,
}

_NOUNS: dict[Role, str] = {
    "http": "a route",
    "worker": "an actor",
    "consumer": "a handler",
    "scheduler": "a schedule",
}


def roles(contributions: Contributions, degraded: Collection[Degraded] = ()) -> tuple[Role, ...]:
    """Return what the contributions make of a deployment, in the order of ``ROLES``.

    Routes of degraded plugins are answered too, with 503.
    """
    refusing = any(each.routes for each in degraded)
    return tuple(
        role for role in ROLES if contributions.of(MAKES[role]) or (role == "http" and refusing)
    )


def check(
    plugins: Sequence[Plugin],
    contributions: Contributions,
    found: Sequence[Role],
    report: Report,
) -> None:
    """Report broken rules about roles, schedules, queues, topics and durations."""
    _claims(found, contributions, report)
    check_schedules(plugins, contributions, report)
    check_signatures(contributions, report)
    _bind(report)
    _queues(contributions, report)
    _batches(contributions, report)
    _durations(found, report)


def _claims(found: Sequence[Role], contributions: Contributions, report: Report) -> None:
    claimed = report.deployment.host.deployment.roles
    if claimed is None:
        return
    for role in ROLES:
        noun = _NOUNS[role]
        if role in claimed and role not in found and not report.incomplete:
            report.add(
                "role-missing",
                report.at("deployment.roles"),
                f"the deployment claims to be {role}, and no plugin contributes {noun}",
                expected=f"an enabled plugin with {noun}",
                got=f"roles found: {', '.join(found) or 'none'}",
                fix=f"enable a plugin that contributes {noun}, or take {role} out of roles",
            )
        if role in found and role not in claimed:
            owners = sorted({owned.plugin for owned in contributions.of(MAKES[role])})
            report.add(
                "role-unclaimed",
                report.at("deployment.roles"),
                f"the deployment does not claim to be {role}, and plugins make it one",
                expected=f"only roles {', '.join(claimed) or '(none)'}",
                got=f"{noun} of {', '.join(owners)}",
                fix=f"add {role} to roles, or take {', '.join(owners)} out of plugins",
            )


def _bind(report: Report) -> None:
    bind = report.deployment.host.http.bind
    if not is_address(bind):
        report.add(
            "invalid-bind",
            report.at("http.bind"),
            "http.bind is no address to listen on",
            expected="host:port, [v6-address]:port, :port or unix:/path",
            got=bind or "(empty)",
            fix="write an address such as 127.0.0.1:8000",
        )


def _queues(contributions: Contributions, report: Report) -> None:
    known = {owned.value.queue for owned in contributions.of(Actor)}
    for name in report.deployment.host.worker.queues or ():
        if name not in known and not report.partial:
            report.add(
                "unknown-queue",
                report.at("worker.queues"),
                f"no actor of this deployment waits in the queue {name}",
                expected=f"queues of its actors: {one_of(known)}",
                got=name,
                fix=did_you_mean(name, known) or f"take {name} out, or enable its plugin",
            )


def _batches(contributions: Contributions, report: Report) -> None:
    for owned in contributions.of(Handler):
        if owned.value.batch < 1:
            report.add(
                "handler-batch",
                owned.site,
                f"the handler {owned.value.name} would never be given an event",
                who=report.whose([owned.plugin]),
                expected="batch of at least 1",
                got=str(owned.value.batch),
                fix="give batch=1 for single events, or more for lists of them",
            )


def _durations(found: Sequence[Role], report: Report) -> None:
    host = report.deployment.host
    if host.delivery.heartbeat > host.delivery.lease / 3:
        report.add(
            "heartbeat-too-long",
            report.at("delivery.heartbeat"),
            "one late renewal would lose everything that a process holds",
            expected=f"at most a third of delivery.lease: {host.delivery.lease / 3:g} seconds",
            got=f"{host.delivery.heartbeat:g} seconds, with a lease of {host.delivery.lease:g}",
            fix="shorten delivery.heartbeat, or lengthen delivery.lease",
        )
    graces = {
        "http": host.http.grace + host.http.shutdown_delay,
        "worker": host.worker.grace,
        "consumer": host.consumer.grace,
    }
    for role, seconds in graces.items():
        if role in found and seconds > host.supervisor.grace:
            report.add(
                "grace-too-short",
                report.at("supervisor.grace"),
                f"the supervisor would kill the {role} role before its own grace is over",
                expected=f"at least {seconds:g} seconds, what {role} may take to stop",
                got=f"{host.supervisor.grace:g} seconds",
                fix=f"lengthen supervisor.grace, or shorten {role}.grace",
            )
