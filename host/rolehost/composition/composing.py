"""The one place where a composition is put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from rolehost.api.contributions import (
    Actor,
    Check,
    Command,
    ErrorFormat,
    Handler,
    Middleware,
    Migrations,
    Route,
    Schedule,
)
from rolehost.api.settings import Secret, Settings
from rolehost.composition import conflicts, routing, rules
from rolehost.composition.choices import choose
from rolehost.composition.declare import Contributions, declare
from rolehost.composition.model import Composition, Plugin
from rolehost.composition.order import ordered
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded, Selection
from rolehost.deployment import HOST_SECTIONS, Deployment, Origin, decode
from rolehost.discovery import did_you_mean
from rolehost.discovery.suggest import one_of
from rolehost.errors import ConfigurationError, Problem


def compose(deployment: Deployment, *, extra: Mapping[str, Any] | None = None) -> Composition:
    """Compose a deployment.

    Args:
        deployment: as :func:`rolehost.deployment.load` returns it.
        extra: plugin objects by name, besides the installed ones; for tests.

    Raises:
        ConfigurationError: with every mistake found, sorted.
    """
    composition, problems = examine(deployment, extra=extra)
    if composition is None:
        raise ConfigurationError(problems)
    return composition


def examine(
    deployment: Deployment, *, extra: Mapping[str, Any] | None = None
) -> tuple[Composition | None, tuple[Problem, ...]]:
    """Compose a deployment and return the composition, or None and every mistake.

    Parameters as of :func:`compose`.
    """
    report = Report(deployment)
    selection = Selection(report, extra or {})
    loaded = ordered(selection.load(deployment.plugins), report, selection.known)
    _unknown_sections(report, selection.known)
    contributions = Contributions()
    plugins = []
    for plugin in loaded:
        settings, fits = _settings(plugin, report)
        if fits:
            plugins.append(_enabled(plugin, settings))
            declare(plugin, settings, report, contributions)
        else:
            report.incomplete = True
    conflicts.check(contributions, report)
    routing.check(contributions.of(Route), report)
    backends = choose(plugins, contributions, report, selection.known)
    roles = rules.roles(contributions)
    rules.check(plugins, contributions, roles, report)
    if report.problems:
        return None, report.sorted()
    composition = Composition(
        deployment=_with_defaults(deployment, plugins),
        plugins=tuple(plugins),
        backends=MappingProxyType(backends),
        migrations=contributions.of(Migrations),
        routes=contributions.of(Route),
        error_formats=contributions.of(ErrorFormat),
        middleware=contributions.of(Middleware),
        actors=MappingProxyType({item.value.name: item for item in contributions.of(Actor)}),
        handlers=contributions.of(Handler),
        schedules=contributions.of(Schedule),
        checks=contributions.of(Check),
        commands=contributions.of(Command),
        roles=roles,
    )
    return composition, ()


def _enabled(plugin: Loaded, settings: Any) -> Plugin:
    found = plugin.found
    return Plugin(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        info=plugin.info,
        settings=settings,
        module=plugin.module,
    )


def _settings(plugin: Loaded, report: Report) -> tuple[Any, bool]:
    """Return a plugin's decoded settings, and whether they fit."""
    name = plugin.found.name
    deployment = report.deployment
    section = deployment.sections.get(name, {})
    kind = plugin.info.settings
    if kind is None:
        if section:
            report.add(
                "unknown-section",
                report.at(name),
                f"the plugin {name} has no settings",
                who=plugin.found.who,
                expected=f"no section [{name}]",
                got=f"the keys {one_of(section)}",
                fix="take the section out",
            )
        return None, not section
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        report.add(
            "hook-result",
            f"{plugin.found.target}, rolehost_plugin",
            "PluginInfo.settings is no settings type",
            who=plugin.found.who,
            expected="a subclass of rolehost.api.Settings, or None",
            got=repr(kind),
            fix="derive the class from Settings",
        )
        return None, False
    mistakes = len(report.problems)
    settings, problems = decode(
        kind,
        section,
        section=name,
        origins=deployment.origins,
        who=plugin.found.who,
        folder=Path(deployment.path).parent if deployment.path else Path(),
    )
    report.extend(problems)
    return settings, settings is not None and len(report.problems) == mistakes


def _unknown_sections(report: Report, known: set[str]) -> None:
    """Report sections that belong to nobody; those of installed plugins may stay."""
    candidates = known | set(HOST_SECTIONS)
    for name in report.deployment.sections:
        if name not in candidates and name not in report.deployment.plugins:
            report.add(
                "unknown-section",
                report.at(name),
                f"[{name}] is neither a section of the host nor of an installed plugin",
                expected=f"one of {one_of(candidates)}",
                got=f"[{name}]",
                fix=did_you_mean(name, candidates) or "install the plugin, or take it out",
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
        for field in msgspec.structs.fields(settings):
            key = f"{section}.{field.encode_name}"
            origin = origins.get(key, Origin("default"))
            if isinstance(getattr(settings, field.name), Secret):
                origin = Origin(origin.text, secret=True)
            origins[key] = origin
    return dataclasses.replace(deployment, origins=MappingProxyType(origins))
