"""Names that two contributions claim: every site and owner of each, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rolehost.api.contributions import (
    Actor,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Handler,
    Middleware,
    Migrations,
    Schedule,
)
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.discovery.commands import RESERVED

_UNIQUE: tuple[tuple[str, type[Any], Callable[[Any], str]], ...] = (
    ("actor", Actor, lambda item: f"the actor {item.name}"),
    ("handler", Handler, lambda item: f"the handler {item.name}"),
    (
        "subscription",
        Handler,
        lambda item: f"the topic {item.topic} in the consumer group {item.group}",
    ),
    ("schedule", Schedule, lambda item: f"the schedule {item.name}"),
    ("command", Command, lambda item: f"the command {item.name}"),
    ("check", Check, lambda item: f"the health check {item.name}"),
    ("middleware", Middleware, lambda item: f"the middleware {item.name}"),
    ("backend", Backend, lambda item: f"the {item.kind} backend {item.name}"),
    ("error-format", ErrorFormat, lambda item: f"the error format of {item.prefix}"),
)


def check(contributions: Contributions, report: Report) -> None:
    """Report every name that is claimed more than once, and commands of the host's names."""
    for kind, cls, name in _UNIQUE:
        for subject, sites in _grouped(contributions.of(cls), name).items():
            if len(sites) > 1:
                clash(report, f"duplicate-{kind}", subject, sites)
    _check_migrations(contributions.of(Migrations), report)
    for owned in contributions.of(Command):
        if owned.value.name in RESERVED:
            report.add(
                "reserved-name",
                owned.site,
                f"a command cannot be named {owned.value.name}: the host has one",
                who=report.whose([owned.plugin]),
                expected="a name that is none of the host's commands",
                got=owned.value.name,
                fix="rename the command, best after the plugin",
            )


def _check_migrations(migrations: Sequence[Owned[Migrations]], report: Report) -> None:
    """Report files that would run twice under two owners, and owners with two sets of files."""

    def owner(owned: Owned[Migrations]) -> str:
        return owned.value.owner or owned.plugin

    for package in dict.fromkeys(owned.value.package for owned in migrations):
        sites = [owned for owned in migrations if owned.value.package == package]
        if len({owner(owned) for owned in sites}) > 1:
            clash(report, "shared-migrations", f"the package {package}", sites)
    for name in dict.fromkeys(map(owner, migrations)):
        sites = [owned for owned in migrations if owner(owned) == name]
        if len({owned.value.package for owned in sites}) > 1:
            clash(report, "duplicate-migrations", f"the owner {name} of migrations", sites)


def clash(report: Report, code: str, subject: str, sites: Sequence[Owned[Any]]) -> None:
    """Report one thing that several contributions claim."""
    owners = sorted({owned.plugin for owned in sites})
    if len(owners) == 1:
        fix = "rename or remove all but one"
    else:
        fix = f"enable only one of {', '.join(owners)}, or rename in all but one of them"
    report.add(
        code,
        "; ".join(owned.site for owned in sites),
        f"{subject} is claimed {len(sites)} times",
        who=report.whose(owners),
        expected="one owner",
        got=", ".join(f"{owned.plugin} at {owned.site}" for owned in sites),
        fix=fix,
    )


def _grouped(
    items: Iterable[Owned[Any]], name: Callable[[Any], str]
) -> dict[str, list[Owned[Any]]]:
    groups: dict[str, list[Owned[Any]]] = {}
    for owned in items:
        groups.setdefault(name(owned.value), []).append(owned)
    return groups
