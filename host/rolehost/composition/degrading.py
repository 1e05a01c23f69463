"""Graceful degradation: the failed plugins that a deployment may leave out (``[on_failure]``).

Errors of the operator stay errors. These plugins are never left out: plugins with security
middleware, the chosen database, and plugins that a plugin without ``degrade`` needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rolehost.api.contributions import Backend, Middleware, Route
from rolehost.api.hooks import DECLARING
from rolehost.composition.declaring import LoadedPlugin, call_list_hook
from rolehost.composition.loading import Selection
from rolehost.composition.model import Contributions, Degraded, Owned, Plugin
from rolehost.composition.problems import Problems
from rolehost.composition.storage import needs
from rolehost.errors import Problem
from rolehost.storage import Kind

MIDDLEWARE = "rolehost_middleware"


@dataclass(frozen=True, slots=True)
class Gathered:
    """The input of the checks: the loaded plugins and their contributions.

    ``loaded`` are the plugins whose declaring hooks were called. ``plugins`` are the same plugins
    in the form of the composition, in which ``publishes`` has the topics from their settings too.
    """

    problems: Problems
    selection: Selection
    loaded: Sequence[LoadedPlugin]
    plugins: Sequence[Plugin]
    contributions: Contributions
    extensions: Mapping[str, Any]


def plugins_to_leave_out(gathered: Gathered) -> dict[str, Degraded]:
    """Return the failed plugins to leave out when the deployment is composed again.

    If the result is empty, the deployment is refused. If contributions of several plugins have the
    same name, each of these plugins that may be degraded is left out, so that the result does not
    depend on the order of the plugins in the deployment.
    """
    problems = gathered.problems
    failed: dict[str, list[Problem]] = {}
    for problem in problems.found:
        at_fault = _at_fault(problem, problems)
        if not at_fault:
            return {}
        for name in at_fault:
            failed.setdefault(name, []).append(problem)
    refused = [name for name in failed if not _has_no_security(name, gathered)]
    for name in refused:
        codes = ", ".join(dict.fromkeys(problem.code for problem in failed[name]))
        who = failed[name][0].who
        where = problems.at(f"on_failure.{name}")
        problems.add("cannot-degrade", where, who=who, name=name, codes=codes)
    return {} if refused else {name: _degraded(name, why, gathered) for name, why in failed.items()}


def _at_fault(problem: Problem, problems: Problems) -> list[str]:
    """Return the plugins that caused a problem and may be degraded."""
    plugins = problems.failed.get(problem, ())
    may_degrade = problems.deployment.may_degrade
    return [
        name
        for name in problems.deployment.plugins
        if name in plugins and may_degrade(name) and name not in problems.degraded
    ]


def _has_no_security(name: str, gathered: Gathered) -> bool:
    """Return whether a failed plugin certainly has no security middleware; False if unknown."""
    problems, selection = gathered.problems, gathered.selection
    if all(found.degradable for found in selection.sources(name)):
        return True
    module = selection.modules.get(name)
    if module is None or (name, MIDDLEWARE) in problems.unknown_results:
        return False
    if getattr(module, MIDDLEWARE, None) is None:
        return True
    for plugin in gathered.loaded:
        if plugin.found.name == name:
            # In a process of a role without routes, this hook was not called yet.
            ignored = Problems(problems.deployment)
            items = call_list_hook(ignored, plugin, MIDDLEWARE, DECLARING[MIDDLEWARE])
            return not ignored.unknown_results and not any(item.security for item in items)
    return False


def _degraded(name: str, problems: Sequence[Problem], gathered: Gathered) -> Degraded:
    sources = gathered.selection.sources(name)
    routes = gathered.contributions.of(Route)
    if (name, "rolehost_routes") in gathered.problems.unknown_results:
        routes = ()
    return Degraded(
        name=name,
        distribution=", ".join(found.distribution for found in sources),
        version=", ".join(found.version for found in sources),
        why=tuple(problems),
        routes=tuple(owned for owned in routes if owned.plugin == name),
    )


def without_consequences(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Drop problems that follow from the failure of a plugin; the failure itself is reported."""
    return (problem for problem in problems if problem.code != "degraded-dependency")


def warnings(degraded: Iterable[Degraded]) -> Iterator[Problem]:
    """Yield a warning for each problem of each degraded plugin."""
    for each in degraded:
        for problem in each.why:
            what = f"the plugin {each.name} is degraded, {problem.code}: {problem.what}"
            yield replace(problem, code="degraded", what=what)


def check(gathered: Gathered, backends: Mapping[Kind, Owned[Backend]]) -> None:
    """Report plugins that ``[on_failure]`` names although the deployment needs them."""
    problems = gathered.problems
    may_degrade = problems.deployment.may_degrade

    def never(code: str, name: str, reason: str) -> None:
        where, who = problems.at(f"on_failure.{name}"), problems.named([name])
        problems.add("degrade", where, code=code, who=who, name=name, reason=reason)

    for owned in gathered.contributions.of(Middleware):
        if owned.value.security and may_degrade(owned.plugin):
            reason = f"its middleware {owned.value.name} at {owned.location} is for security"
            never("degrade-security", owned.plugin, reason)
    database = backends.get("database")
    if database is not None and may_degrade(database.plugin):
        reason = f"it is the database of this deployment: {database.value.name}"
        never("degrade-database", database.plugin, reason)
    reported: set[tuple[str, str]] = set()
    for name, by, why in _needed(gathered, backends):
        if may_degrade(name) and not may_degrade(by) and (name, by) not in reported:
            reported.add((name, by))
            never("degrade-required", name, f"{by}, which may not be degraded, {why}")


def _needed(
    gathered: Gathered, backends: Mapping[Kind, Owned[Backend]]
) -> Iterator[tuple[str, str, str]]:
    """Yield (needed plugin, plugin that needs it, reason)."""
    for plugin in gathered.plugins:
        for other in plugin.info.depends:
            yield other, plugin.name, "depends on it"
    for need in needs(gathered.plugins, gathered.contributions):
        owned = backends.get(need.kind)
        if owned is not None and need.plugin != owned.plugin:
            yield owned.plugin, need.plugin, f"needs its {need.kind} ({need.why})"
