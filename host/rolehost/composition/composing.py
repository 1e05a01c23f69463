"""The one place where a composition is put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rolehost.api.contributions import (
    Actor,
    Check,
    Command,
    ErrorFormat,
    Handler,
    Middleware,
    Migrations,
    Role,
    Route,
    Schedule,
)
from rolehost.api.metrics import Metric
from rolehost.api.settings import Secret
from rolehost.composition import (
    access,
    calls,
    conflicts,
    faults,
    metrics,
    routing,
    rules,
)
from rolehost.composition.choices import choose
from rolehost.composition.declare import Contributions, declare, hooks_for
from rolehost.composition.extensions import collect, given_to
from rolehost.composition.faults import Attempt
from rolehost.composition.model import Composition, Degraded, Plugin
from rolehost.composition.order import ordered
from rolehost.composition.report import Report, in_order
from rolehost.composition.sections import check_sections, settings_of
from rolehost.composition.selection import Loaded, Selection
from rolehost.deployment import HOST_SECTIONS, Deployment, Origin, fields_of, secrets_in
from rolehost.discovery import Found
from rolehost.errors import ConfigurationError, Problem
from rolehost.redaction import hide


def compose(
    deployment: Deployment,
    *,
    extra: Mapping[str, Any] | None = None,
    role: Role | None = None,
    found: Sequence[Found] | None = None,
) -> Composition:
    """Compose a deployment.

    Args:
        deployment: as :func:`rolehost.deployment.load` returns it.
        extra: plugin objects by name, besides the installed ones; for tests.
        role: leave out what a process of this role does not read, and with it the imports
            of, say, routes in a worker; None composes everything, to be checked.
        found: the installed plugins, when it was looked for them just now; None looks.

    Raises:
        ConfigurationError: with every mistake found, sorted.
    """
    composition, problems = examine(deployment, extra=extra, role=role, found=found)
    if composition is None:
        raise ConfigurationError(problems)
    return composition


def examine(
    deployment: Deployment,
    *,
    extra: Mapping[str, Any] | None = None,
    role: Role | None = None,
    found: Sequence[Found] | None = None,
) -> tuple[Composition | None, tuple[Problem, ...]]:
    """Compose a deployment and return the composition, or None and every mistake.

    Parameters as of :func:`compose`.
    """
    degraded: dict[str, Degraded] = {}
    while True:
        composition, attempt = _attempt(deployment, extra or {}, role, degraded, found)
        if composition is not None:
            return composition, ()
        more = faults.absorbed(attempt)
        if not more:
            why = (problem for each in degraded.values() for problem in each.why)
            problems = faults.own((*attempt.report.problems, *why))
            return None, in_order(deployment.discreet(problems))
        degraded |= more


def _attempt(
    deployment: Deployment,
    extra: Mapping[str, Any],
    role: Role | None,
    degraded: Mapping[str, Degraded],
    found: Sequence[Found] | None,
) -> tuple[Composition | None, Attempt]:
    """Compose without the plugins that are degraded; None when there are mistakes."""
    report = Report(deployment, degraded=degraded)
    report.incomplete = role is not None
    hooks = tuple(hooks_for(role))
    selection = Selection(report, extra, found)
    names = [name for name in deployment.plugins if name not in degraded]
    loaded = ordered(selection.load(names), report, selection.known)
    check_sections(report, selection.known)
    faults.check_names(report, selection.known)
    configured = _configured(loaded, report)
    extensions = collect(configured, role, selection.known, report)
    contributions = Contributions()
    plugins = []
    for plugin, settings in configured:
        declare(plugin, settings, hooks, report, contributions, given_to(plugin, extensions))
        metrics.collect(plugin, report, contributions)
        topics = [each.value for each in contributions.of(str) if each.plugin == plugin.found.name]
        plugins.append(_enabled(plugin, settings, topics))
    conflicts.check(contributions, report)
    metrics.check(contributions.of(Metric), report)
    routing.check(contributions.of(Route), report)
    calls.check(contributions, report)
    authentications = access.check(contributions, report)
    backends = choose(plugins, contributions, report, selection.known)
    middleware = tuple(contributions.of(Middleware))
    roles = rules.roles(contributions, degraded.values())
    rules.check(plugins, contributions, roles, report)
    faults.check(plugins, contributions, backends, report)
    attempt = Attempt(report, selection, configured, contributions)
    if report.problems:
        return None, attempt
    composition = Composition(
        deployment=_with_defaults(deployment, plugins),
        plugins=tuple(plugins),
        backends=MappingProxyType(backends),
        migrations=contributions.of(Migrations),
        routes=contributions.of(Route),
        error_formats=contributions.of(ErrorFormat),
        middleware=middleware,
        actors=MappingProxyType({item.value.name: item for item in contributions.of(Actor)}),
        handlers=contributions.of(Handler),
        schedules=contributions.of(Schedule),
        checks=contributions.of(Check),
        commands=contributions.of(Command),
        roles=roles,
        authentications=MappingProxyType(dict(authentications)),
        extensions=MappingProxyType(extensions),
        metrics=MappingProxyType({item.value.name: item for item in contributions.of(Metric)}),
        warnings=in_order(
            deployment.discreet((*report.warnings, *faults.warnings(degraded.values())))
        ),
        degraded=tuple(degraded.values()),
    )
    return composition, attempt


def _configured(loaded: Sequence[Loaded], report: Report) -> list[tuple[Loaded, Any]]:
    """Return the plugins whose settings fit, with them; what others would declare stays unknown."""
    configured = []
    for plugin in loaded:
        mistakes = len(report.problems)
        settings, fits = settings_of(plugin, report)
        if fits:
            hide(f"{report.who}, {plugin.found.name}", secrets_in(settings))
            configured.append((plugin, settings))
        else:
            report.settled.update(report.problems[mistakes:])
            report.incomplete = True
    return configured


def _enabled(plugin: Loaded, settings: Any, topics: Sequence[str]) -> Plugin:
    """Return the plugin; what it publishes holds the topics that its settings name, too."""
    found, info = plugin.found, plugin.info
    published = tuple(dict.fromkeys((*info.publishes, *topics)))
    return Plugin(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        info=dataclasses.replace(info, publishes=published),
        settings=settings,
        module=plugin.module,
    )


def _with_defaults(deployment: Deployment, plugins: Sequence[Plugin]) -> Deployment:
    """Return the deployment with an origin for every value, defaults and secrets marked."""
    origins = dict(deployment.origins)
    sections: list[tuple[str, Any]] = [
        (name, getattr(deployment.host, name)) for name in HOST_SECTIONS
    ]
    sections += [
        (plugin.name, plugin.settings) for plugin in plugins if plugin.settings is not None
    ]
    for section, settings in sections:
        for field in fields_of(type(settings)):
            key = f"{section}.{field.encode_name}"
            origin = origins.get(key, Origin("default"))
            if isinstance(getattr(settings, field.name), Secret):
                origin = Origin(origin.text, secret=True, given=origin.given)
            origins[key] = origin
    return dataclasses.replace(deployment, origins=MappingProxyType(origins))
