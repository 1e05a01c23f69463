"""Names of contributions: each is unique, and some are reserved for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Backend,
    Check,
    Command,
    ErrorFormat,
    Middleware,
    Migrations,
    Schedule,
)
from rolehost.api.handlers import Handler
from rolehost.api.metrics import HOST_PREFIX, Metric
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
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


def check(contributions: Contributions, problems: Problems) -> None:
    """Report names that several contributions claim, and reserved names."""
    for kind, cls, name in _UNIQUE:
        claimed: dict[str, list[Owned[Any]]] = {}
        for owned in contributions.of(cls):
            claimed.setdefault(name(owned.value), []).append(owned)
        for subject, claims in claimed.items():
            if len(claims) > 1:
                report_clash(problems, f"duplicate-{kind}", subject, claims)
    for owned in contributions.of(Command):
        if owned.value.name in RESERVED:
            problems.about(owned, "reserved-name", name=owned.value.name)
    _check_migrations(contributions.of(Migrations), problems)
    _check_metrics(contributions.of(Metric), problems)


def report_clash(
    problems: Problems,
    code: str,
    subject: str,
    claims: Sequence[Owned[Any]],
    shown: Callable[[Any], str] = lambda _: "",
) -> None:
    """Report one name that several contributions claim; ``shown`` describes a contribution."""
    owners = ", ".join(sorted({owned.plugin for owned in claims}))
    several = f"enable only one of {owners}, or rename it in all but one of them"
    problems.about(
        claims,
        "duplicate-metric" if code == "duplicate-metric" else "claimed",
        code=code,
        subject=subject,
        count=len(claims),
        claims="; ".join(
            f"{shown(owned.value)}{owned.plugin} at {owned.location}" for owned in claims
        ),
        hint=several if "," in owners else "",
    )


def _check_migrations(migrations: Sequence[Owned[Migrations]], problems: Problems) -> None:
    """Report files that would run twice under two owners, and owners with two sets of files."""

    def owner(owned: Owned[Migrations]) -> str:
        return owned.value.owner or owned.plugin

    for package in dict.fromkeys(owned.value.package for owned in migrations):
        same = [owned for owned in migrations if owned.value.package == package]
        if len(set(map(owner, same))) > 1:
            report_clash(problems, "shared-migrations", f"the package {package}", same)
    for name in dict.fromkeys(map(owner, migrations)):
        same = [owned for owned in migrations if owner(owned) == name]
        if len({owned.value.package for owned in same}) > 1:
            subject = f"the owner {name} of migrations"
            report_clash(problems, "duplicate-migrations", subject, same)


def _check_metrics(metrics: Sequence[Owned[Metric]], problems: Problems) -> None:
    """Report names at ``/metrics`` that are claimed twice, and names of the host.

    If one name has two meanings, Prometheus rejects the whole scrape. If two counters had one name
    and one type, only their sum would be known.
    """
    claimed: dict[str, list[Owned[Metric]]] = {}
    for owned in metrics:
        name = owned.value.name
        if name.startswith(HOST_PREFIX):
            better = f"{owned.plugin.replace('-', '_')}_{name.removeprefix(HOST_PREFIX)}"
            problems.about(owned, "reserved-metric", name=name, prefix=HOST_PREFIX, better=better)
        for series in owned.value.series:
            claimed.setdefault(series, []).append(owned)
    reported: set[tuple[int, ...]] = set()
    for name, claims in claimed.items():
        together = tuple(map(id, claims))
        # Report metrics that share several series once.
        if len(claims) > 1 and together not in reported:
            reported.add(together)
            report_clash(
                problems,
                "duplicate-metric",
                f"the name {name} at /metrics",
                claims,
                shown=lambda metric: f"{described(metric)}, of ",
            )


def described(metric: Metric) -> str:
    """Return a metric in words: the same words for the same metric."""
    labels = f" by {', '.join(metric.labels)}" if metric.labels else ""
    buckets = f" up to {', '.join(f'{each:g}' for each in metric.buckets)}"
    name = metric.series[1] if metric.kind == "counter" else metric.name
    return f"{metric.kind} {name}{labels}{buckets if metric.buckets else ''}"
