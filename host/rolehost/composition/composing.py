"""Composes deployments, each with its plugins."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rolehost.api.contributions import (
    Check,
    Command,
    ErrorFormat,
    Middleware,
    Migrations,
    PluginInfo,
    Role,
    Route,
    Schedule,
)
from rolehost.api.executions import JobMiddleware
from rolehost.api.handlers import Handler
from rolehost.api.metrics import Metric
from rolehost.composition import access, callables, degrading, limits, names, routes, topology
from rolehost.composition.declaring import LoadedPlugin, declare
from rolehost.composition.degrading import Gathered
from rolehost.composition.extensions import collect, given_to
from rolehost.composition.loading import Selection
from rolehost.composition.model import Composition, Contributions, Degraded, Plugin
from rolehost.composition.order import ordered
from rolehost.composition.problems import Problems, in_order
from rolehost.composition.settings import check_sections, settings_of, with_origins
from rolehost.composition.storage import choose
from rolehost.deployment import Deployment, read, secrets_in
from rolehost.discovery import InstalledPlugin
from rolehost.errors import ConfigurationError, Problem
from rolehost.redaction import hide


def compose(
    deployment: Deployment,
    *,
    extra: Mapping[str, Any] | None = None,
    role: Role | None = None,
    found: Sequence[InstalledPlugin] | None = None,
) -> Composition:
    """Compose a deployment, or raise ConfigurationError with every problem, sorted.

    With a ``role``, compose only the contributions that a process of this role needs: a worker,
    for example, does not import routes. ``extra`` maps names to plugin objects that are not
    installed, for tests. ``found`` are the installed plugins, if the caller already has them.
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
    found: Sequence[InstalledPlugin] | None = None,
) -> tuple[Composition | None, tuple[Problem, ...]]:
    """Compose as :func:`compose`; return the composition, or None and every problem.

    If ``[on_failure]`` allows it, the deployment is composed again without the plugins that failed.
    """
    degraded: dict[str, Degraded] = {}
    while True:
        # With a role, the contributions of other roles are not known.
        problems = Problems(deployment, degraded=degraded, unknown_contributions=role is not None)
        gathered = _gather(Selection(problems, extra or {}, found), role)
        composition = _check_and_compose(gathered)
        if composition is not None:
            return composition, ()
        failed = degrading.plugins_to_leave_out(gathered)
        if not failed:
            earlier = (problem for each in degraded.values() for problem in each.why)
            remaining = degrading.without_consequences((*problems.found, *earlier))
            return None, in_order(deployment.redact(remaining))
        degraded |= failed


def _gather(selection: Selection, role: Role | None) -> Gathered:
    problems = selection.problems
    deployment = problems.deployment
    enabled = [name for name in deployment.plugins if name not in problems.degraded]
    loaded = ordered(selection.load(enabled), problems, selection.known)
    check_sections(problems, selection.known)
    configured: list[LoadedPlugin] = []
    for plugin in loaded:
        settings, right = settings_of(plugin, problems)
        if right:
            hide(f"{problems.deployment_name}, {plugin.found.name}", secrets_in(settings))
            configured.append(dataclasses.replace(plugin, settings=settings))
        else:
            problems.unknown_contributions = True
    extensions = collect(configured, role, selection.known, problems)
    contributions = Contributions()
    plugins = []
    for plugin in configured:
        declare(plugin, role, problems, contributions, given_to(plugin, extensions))
        plugins.append(_plugin(plugin, contributions))
    return Gathered(problems, selection, configured, plugins, contributions, extensions)


def _plugin(loaded: LoadedPlugin, contributions: Contributions) -> Plugin:
    """Return the plugin; ``publishes`` also has the topics from its settings."""
    found, info = loaded.found, loaded.info
    topics = [each.value for each in contributions.of(str) if each.plugin == found.name]
    published = tuple(dict.fromkeys((*info.publishes, *topics)))
    return Plugin(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        info=dataclasses.replace(info, publishes=published),
        settings=loaded.settings,
        module=loaded.module,
    )


def _check_and_compose(gathered: Gathered) -> Composition | None:
    """Return the composition, or None if there are problems."""
    problems, contributions = gathered.problems, gathered.contributions
    plugins, degraded = tuple(gathered.plugins), tuple(problems.degraded.values())
    roles = topology.roles_of(contributions, degraded)
    names.check(contributions, problems)
    routes.check(contributions.of(Route), problems)
    callables.check(contributions, problems)
    topology.check(plugins, contributions, roles, problems)
    actors = limits.apply(plugins, contributions, problems)
    authentications = access.check(contributions, problems)
    backends = choose(plugins, contributions, problems, gathered.selection.known)
    degrading.check(gathered, backends)
    if problems.found:
        return None
    warnings = (*problems.warnings, *degrading.warnings(degraded))
    return Composition(
        deployment=with_origins(problems.deployment, plugins),
        plugins=plugins,
        backends=MappingProxyType(backends),
        migrations=contributions.of(Migrations),
        routes=contributions.of(Route),
        error_formats=contributions.of(ErrorFormat),
        middleware=contributions.of(Middleware),
        actors=MappingProxyType(actors),
        handlers=contributions.of(Handler),
        job_middleware=contributions.of(JobMiddleware),
        schedules=contributions.of(Schedule),
        checks=contributions.of(Check),
        commands=contributions.of(Command),
        roles=roles,
        authentications=MappingProxyType(dict(authentications)),
        extensions=MappingProxyType(dict(gathered.extensions)),
        metrics=MappingProxyType({item.value.name: item for item in contributions.of(Metric)}),
        warnings=in_order(problems.deployment.redact(warnings)),
        degraded=degraded,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """The result of :func:`probe`; ``info`` is None if the plugin cannot be loaded."""

    found: InstalledPlugin
    info: PluginInfo | None
    contributions: Contributions
    problems: tuple[Problem, ...]


def probe(deployment: Deployment, found: InstalledPlugin) -> Probe:
    """Load one plugin, enabled or not, and collect its contributions and problems."""
    problems = Problems(deployment)
    contributions = Contributions()
    loaded = Selection(problems, {}).load_one(found)
    if loaded is not None:
        settings, right = settings_of(loaded, problems)
        if right:
            loaded = dataclasses.replace(loaded, settings=settings)
            declare(loaded, None, problems, contributions, {})
    info = loaded.info if loaded is not None else None
    return Probe(found, info, contributions, in_order(problems.found))


def examine_all(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> tuple[list[tuple[Path, Composition]], tuple[Problem, ...]]:
    """Compose deployments; return the compositions, and the problems of the other deployments.

    A problem in a file that several deployments include is reported once, for all of them.
    ``environ`` is by default the environment of the process; ``extra`` is as for :func:`compose`.
    """
    composed: list[tuple[Path, Composition]] = []
    # Problem, with a ``who`` that does not name the deployment → the deployments that have it.
    found_in: dict[Problem, list[str]] = {}
    for path in paths:
        deployment, found = read(path, environ=environ)
        composition, problems = examine(deployment, extra=extra)
        for problem in (*found, *problems):
            who = problem.who.replace(f"deployment {path}", "deployment")
            found_in.setdefault(dataclasses.replace(problem, who=who), []).append(str(path))
        if composition is not None:
            composed.append((path, composition))
    return composed, in_order(
        dataclasses.replace(problem, who=_who_of_several(problem.who, dict.fromkeys(files)))
        for problem, files in found_in.items()
    )


def _who_of_several(who: str, files: Collection[str]) -> str:
    deployments = f"deployment{'s' if len(files) > 1 else ''} {', '.join(files)}"
    return deployments if who == "deployment" else f"{who} in {deployments}"
