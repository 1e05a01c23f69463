"""Schedules that could never tick, or would enqueue what nobody works."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rolehost.api.contributions import Actor, Schedule
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned, Plugin
from rolehost.composition.report import Report
from rolehost.delivery.arguments import Signature
from rolehost.errors import PayloadError
from rolehost.suggest import did_you_mean, one_of


def check_schedules(
    plugins: Sequence[Plugin], contributions: Contributions, report: Report
) -> None:
    """Report schedules with an unknown or ephemeral actor, a wrong expression or time zone."""
    actors = {owned.value.name: owned for owned in contributions.of(Actor)}
    elsewhere = {name for plugin in plugins for name in plugin.info.enqueues}
    for owned in contributions.of(Schedule):
        _actor(owned, actors, elsewhere, report)
        _timezone(owned, report)
        if owned.value.cron is not None:
            _cron(owned, owned.value.cron, report)


def actor_of(schedule: Schedule) -> str:
    """Return the name of the actor that a schedule enqueues."""
    return schedule.actor if isinstance(schedule.actor, str) else schedule.actor.name


def when(schedule: Schedule) -> str:
    """Return when a schedule ticks: the interval, or the cron expression and its time zone."""
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    return f"{schedule.cron} {schedule.timezone}"


def _actor(
    owned: Owned[Schedule],
    actors: Mapping[str, Owned[Actor]],
    elsewhere: set[str],
    report: Report,
) -> None:
    schedule = owned.value
    name = actor_of(schedule)
    found = actors.get(name)
    if found is None and name not in elsewhere:
        if not report.partial:
            known = actors.keys() | elsewhere
            _add(
                owned,
                "unknown-actor",
                f"the schedule {schedule.name} enqueues {name}, which is not known here",
                f"an actor here or in a plugin's enqueues: {one_of(known)}",
                name,
                did_you_mean(name, known) or f"enable its plugin, or declare enqueues=({name!r},)",
                report,
            )
        return
    actor = schedule.actor if found is None else found.value
    if isinstance(actor, str):
        return  # of another deployment: `rolehost fleet check` knows it
    if not actor.durable:
        _add(
            owned,
            "ephemeral-schedule",
            f"the schedule {schedule.name} enqueues {name}, which is not durable",
            "a durable actor, whose job is a row of the ledger",
            f"{name}{f' at {found.site}' if found else ''} with durable=False",
            f"make {name} durable",
            report,
        )
    _arguments(owned, actor, report)


def _arguments(owned: Owned[Schedule], actor: Actor, report: Report) -> None:
    schedule = owned.value
    try:
        signature = Signature(actor)
    except TypeError:
        return  # the actor itself is reported
    try:
        signature.encode(schedule.arguments)
    except PayloadError as error:
        _add(
            owned,
            "schedule-arguments",
            f"the arguments of the schedule {schedule.name} do not fit {actor.name}",
            f"the arguments {one_of(actor.arguments)}, in their types",
            str(error),
            f"give the arguments that {actor.name} takes",
            report,
        )


def _timezone(owned: Owned[Schedule], report: Report) -> None:
    name = owned.value.timezone
    if name == "UTC":
        return
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        _add(
            owned,
            "unknown-timezone",
            f"the schedule {owned.value.name} names a time zone that is not known here",
            "an IANA name such as Europe/Vienna",
            name,
            did_you_mean(name, zoneinfo.available_timezones())
            or "correct the name, or install the package tzdata",
            report,
        )


def _cron(owned: Owned[Schedule], expression: str, report: Report) -> None:
    # Only the scheduler needs this library: a host without schedules runs without it.
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        _add(
            owned,
            "missing-extra",
            f"the schedule {owned.value.name} has a cron expression, and cronsim is not installed",
            "the package cronsim",
            "no such package",
            "pip install 'rolehost[scheduler]', or use every= instead of cron=",
            report,
        )
        return
    try:
        if len(expression.split()) != 5:
            raise CronSimError("not five fields")
        # Without a tick within 50 years it gives up.
        if next(CronSim(expression, datetime.now(UTC)), None) is None:
            raise CronSimError("it never ticks")
    except (CronSimError, ValueError, OverflowError) as error:
        _add(
            owned,
            "invalid-cron",
            f"the schedule {owned.value.name} has no valid cron expression",
            "five fields: minute, hour, day, month, weekday",
            f"{expression!r}: {error}",
            "correct the expression, for example '*/5 * * * *' for every five minutes",
            report,
        )


def _add(
    owned: Owned[Schedule],
    code: str,
    what: str,
    expected: str,
    got: str,
    fix: str,
    report: Report,
) -> None:
    report.add(
        code,
        owned.site,
        what,
        who=report.whose([owned.plugin]),
        expected=expected,
        got=got,
        fix=fix,
    )
