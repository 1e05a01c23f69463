"""The roles of a deployment, and checks of queues, schedules, batch sizes and durations."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from rolehost.api.actors import Actor
from rolehost.api.contributions import ROLES, Role, Route, Schedule
from rolehost.api.handlers import Handler
from rolehost.composition.model import Contributions, Degraded, Owned, Plugin
from rolehost.composition.problems import Problems
from rolehost.delivery import cron
from rolehost.delivery.arguments import Signature
from rolehost.errors import PayloadError
from rolehost.suggest import did_you_mean, one_of

#: Role → the contribution that adds it to a deployment, and its name in messages.
MAKES: dict[Role, tuple[type, str]] = {
    "http": (Route, "a route"),
    "worker": (Actor, "an actor"),
    "consumer": (Handler, "a handler"),
    "scheduler": (Schedule, "a schedule"),
}


def roles_of(contributions: Contributions, degraded: Collection[Degraded]) -> tuple[Role, ...]:
    """Return the roles that the contributions need, in the order of ``ROLES``.

    The routes of degraded plugins count too: they answer 503.
    """
    makes = {role for role in ROLES if contributions.of(MAKES[role][0])}
    if any(each.routes for each in degraded):
        makes.add("http")
    return tuple(role for role in ROLES if role in makes)


def check(
    plugins: Sequence[Plugin],
    contributions: Contributions,
    roles: Sequence[Role],
    problems: Problems,
) -> None:
    """Report errors in roles, queues, batch sizes, durations and schedules."""
    _check_declared_roles(roles, contributions, problems)
    _check_queues(contributions, problems)
    _check_durations(roles, problems)
    for owned in contributions.of(Handler):
        if owned.value.batch < 1:
            name, batch = owned.value.name, owned.value.batch
            problems.about(owned, "handler-batch", name=name, batch=batch)
    elsewhere = {name for plugin in plugins for name in plugin.info.enqueues}
    for owned in contributions.of(Schedule):
        _check_actor(owned, contributions, elsewhere, problems)
        zone = _check_timezone(owned, problems)
        if owned.value.cron is not None and _check_cron(owned, owned.value.cron, problems) and zone:
            _check_jitter(owned, problems)


def actor_of(schedule: Schedule) -> str:
    """Return the name of the actor that a schedule enqueues."""
    return schedule.actor if isinstance(schedule.actor, str) else schedule.actor.name


def when(schedule: Schedule) -> str:
    """Return when a schedule ticks: the interval, or the cron expression and its time zone."""
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    return f"{schedule.cron} {schedule.timezone}"


def _check_declared_roles(
    roles: Sequence[Role], contributions: Contributions, problems: Problems
) -> None:
    claimed = problems.deployment.host.deployment.roles
    if claimed is None:
        return
    where = problems.at("deployment.roles")
    for role in ROLES:
        kind, noun = MAKES[role]
        if role in claimed and role not in roles and not problems.unknown_contributions:
            found = ", ".join(roles) or "none"
            problems.add("role-missing", where, role=role, noun=noun, found=found)
        if role in roles and role not in claimed:
            owners = ", ".join(sorted({owned.plugin for owned in contributions.of(kind)}))
            claims = ", ".join(claimed) or "(none)"
            values = {"role": role, "noun": noun, "claimed": claims, "owners": owners}
            problems.add("role-unclaimed", where, **values)


def _check_queues(contributions: Contributions, problems: Problems) -> None:
    known = {owned.value.queue for owned in contributions.of(Actor)}
    worker = problems.deployment.host.worker
    named = [(name, "worker.queues") for name in worker.queues or ()]
    for name, setting in [*named, *((name, "worker.weights") for name in worker.weights)]:
        if name not in known and not problems.may_lack_contributions:
            hint, where = did_you_mean(name, known), problems.at(setting)
            problems.add("unknown-queue", where, hint=hint, name=name, known=one_of(known))


def _check_actor(
    owned: Owned[Schedule], contributions: Contributions, elsewhere: set[str], problems: Problems
) -> None:
    schedule = owned.value
    name = actor_of(schedule)
    actors = {each.value.name: each for each in contributions.of(Actor)}
    found = actors.get(name)
    if found is None and name not in elsewhere:
        if not problems.may_lack_contributions:
            known = actors.keys() | elsewhere
            hint = did_you_mean(name, known)
            values = {"schedule": schedule.name, "actor": name, "known": one_of(known)}
            problems.about(owned, "unknown-actor", hint=hint, **values)
        return
    actor = schedule.actor if found is None else found.value
    if isinstance(actor, str):
        return  # an actor of another deployment: `rolehost fleet check` checks it
    if not actor.durable:
        at = f" at {found.location}" if found else ""
        problems.about(owned, "ephemeral-schedule", schedule=schedule.name, actor=name, at=at)
    try:
        signature = Signature(actor)
    except TypeError:
        return  # reported as a problem of the actor
    try:
        signature.encode(schedule.arguments)
    except PayloadError as error:
        problems.about(
            owned,
            "schedule-arguments",
            schedule=schedule.name,
            actor=name,
            known=one_of(actor.arguments),
            error=error,
        )


def _check_timezone(owned: Owned[Schedule], problems: Problems) -> bool:
    name = owned.value.timezone
    if name == "UTC":
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, zoneinfo.available_timezones())
        schedule = owned.value.name
        problems.about(owned, "unknown-timezone", hint=hint, schedule=schedule, name=name)
        return False
    return True


def _check_cron(owned: Owned[Schedule], expression: str, problems: Problems) -> bool:
    schedule = owned.value.name
    # Only the scheduler needs this library: a host without schedules runs without it.
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        problems.about(owned, "missing-extra", schedule=schedule)
        return False
    try:
        if len(expression.split()) not in (5, 6):
            raise CronSimError("not five fields, or six with the seconds first")
        # CronSim gives up if there is no tick within 50 years.
        if next(CronSim(expression, datetime.now(UTC)), None) is None:
            raise CronSimError("it never ticks")
    except (CronSimError, ValueError, OverflowError) as error:
        values = {"schedule": schedule, "cron": expression, "error": error}
        problems.about(owned, "invalid-cron", **values)
        return False
    return True


def _check_jitter(owned: Owned[Schedule], problems: Problems) -> None:
    schedule = owned.value
    try:
        cron.check_jitter(schedule, int(datetime.now(UTC).timestamp() * 1000))
    except ValueError as error:
        problems.about(owned, "jitter-too-long", schedule=schedule.name, error=error)


def _check_durations(roles: Sequence[Role], problems: Problems) -> None:
    """Report a heartbeat that is too long for its lease, and grace periods that are too short."""
    host = problems.deployment.host
    lease, heartbeat = host.delivery.lease, host.delivery.heartbeat
    if heartbeat > lease / 3:
        where = problems.at("delivery.heartbeat")
        problems.add("heartbeat-too-long", where, most=lease / 3, heartbeat=heartbeat, lease=lease)
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
