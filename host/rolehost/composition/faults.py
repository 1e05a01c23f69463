"""Plugins that fail, and which of them a deployment may go on without.

``[on_failure]`` says of a plugin that it may be degraded: left out, with what it would have
contributed, and told of. What the operator wrote wrong stays a mistake all the same, and three
kinds of plugins are never left out: those with security middleware, the chosen database, and
what a plugin needs that may not be left out itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rolehost.api.contributions import Backend, Middleware, Route
from rolehost.api.hooks import DECLARING, DeclareContext
from rolehost.composition.declare import Contributions, declared
from rolehost.composition.model import Degraded, Owned, Plugin
from rolehost.composition.needs import Need, needs
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded, Selection
from rolehost.discovery.entries import DEGRADABLE
from rolehost.errors import Problem
from rolehost.storage import Kind
from rolehost.suggest import did_you_mean, one_of

MIDDLEWARE = "rolehost_middleware"

#: Mistakes of the deployment, not of a plugin: no plugin is left out because of them.
STAYS = frozenset(
    {
        "backend-apart",
        "cannot-degrade",
        "changed-plugin",
        "degrade-database",
        "degrade-required",
        "degrade-security",
        "dependency-cycle",
        "missing-capability",
        "missing-dependency",
        "missing-storage",
        "unknown-plugin",
        "unknown-section",
        "unauthenticated-routes",
        "unpinned-plugin",
        "unreadable-pins",
    }
)

#: Where ``[on_failure]`` and what it means are explained.
PAGE = "docs/failures.md"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at composing: what there is to know of plugins that failed in it.

    Attributes:
        report: its mistakes.
        selection: what was found and imported.
        configured: plugins that were asked to declare, with their settings.
        contributions: what they gave.
    """

    report: Report
    selection: Selection
    configured: Sequence[tuple[Loaded, Any]]
    contributions: Contributions


def absorbed(attempt: Attempt) -> dict[str, Degraded]:
    """Return the plugins to leave out of the next attempt; none: the mistakes stand.

    A thing that several plugins claim is taken from all those that may be degraded, so that
    the order of the deployment's list decides nothing.
    """
    report = attempt.report
    failing: dict[str, list[Problem]] = {}
    for problem in report.problems:
        culprits = list(_culprits(problem, report))
        if not culprits:
            return {}
        for name in culprits:
            failing.setdefault(name, []).append(problem)
    found = {name: _degraded(name, problems, attempt) for name, problems in failing.items()}
    refused = [name for name in failing if not _harmless(name, failing[name], attempt)]
    for name in refused:
        _cannot(name, failing[name], report)
    return {} if refused else found


def own(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Leave out what follows from the failure of a plugin, which is among the problems itself."""
    return (problem for problem in problems if problem.code != "degraded-dependency")


def check(
    plugins: Sequence[Plugin],
    contributions: Contributions,
    backends: Mapping[Kind, Owned[Backend]],
    report: Report,
) -> None:
    """Report what ``[on_failure]`` says of plugins that nothing may go on without.

    Args:
        plugins: enabled plugins.
        contributions: what they gave.
        backends: the chosen backends.
        report: takes the mistakes.
    """
    if not report.deployment.on_failure:
        return
    may_degrade = report.deployment.may_degrade
    for owned in contributions.of(Middleware):
        if owned.value.security and may_degrade(owned.plugin):
            _never(
                "degrade-security",
                owned.plugin,
                f"its middleware {owned.value.name} at {owned.site} is for security",
                report,
            )
    database = backends.get("database")
    if database is not None and may_degrade(database.plugin):
        what = f"it is the database of this deployment: {database.value.name}"
        _never("degrade-database", database.plugin, what, report)
    told: set[tuple[str, str]] = set()
    for name, by, why in _required(
        plugins, backends, needs(plugins, contributions, Report(report.deployment))
    ):
        if may_degrade(name) and not may_degrade(by) and (name, by) not in told:
            told.add((name, by))
            _never("degrade-required", name, f"{by}, which may not be degraded, {why}", report)


def check_names(report: Report, known: Iterable[str]) -> None:
    """Report names in ``[on_failure]`` that no plugin has."""
    candidates = {*known, *report.deployment.plugins, *report.deployment.listed}
    for name in report.deployment.on_failure:
        if name not in candidates:
            report.add(
                "unknown-plugin",
                report.at(f"on_failure.{name}"),
                f"on_failure names {name}, and there is no such plugin",
                expected=f"one of the installed plugins: {one_of(candidates)}",
                got=name,
                fix=did_you_mean(name, candidates) or f"take {name} out of [on_failure]",
            )


def warnings(degraded: Iterable[Degraded]) -> Iterator[Problem]:
    """Yield a warning for each reason of each degraded plugin."""
    for each in degraded:
        for problem in each.why:
            yield replace(
                problem,
                code="degraded",
                what=f"the plugin {each.name} is degraded, {problem.code}: {problem.what}",
            )


def _culprits(problem: Problem, report: Report) -> Iterator[str]:
    """Yield the plugins that a mistake is about and that may be degraded."""
    if problem.code in STAYS or problem in report.settled:
        return
    about = getattr(problem.who, "plugins", ())
    for name in report.deployment.plugins:
        if name in about and report.deployment.may_degrade(name) and name not in report.degraded:
            yield name


def _degraded(name: str, problems: Sequence[Problem], attempt: Attempt) -> Degraded:
    sources = attempt.selection.sources(name)
    sound = (name, "rolehost_routes") not in attempt.report.failed
    return Degraded(
        name=name,
        distribution=", ".join(found.distribution for found in sources),
        version=", ".join(found.version for found in sources),
        why=tuple(problems),
        routes=tuple(
            owned for owned in attempt.contributions.of(Route) if sound and owned.plugin == name
        ),
    )


def _harmless(name: str, problems: Sequence[Problem], attempt: Attempt) -> bool:
    """Say whether it is known that no security middleware goes with a plugin that failed."""
    if all(found.degradable for found in attempt.selection.sources(name)):
        return True
    module = attempt.selection.modules.get(name)
    if module is None or any(problem.code == "unknown-hook" for problem in problems):
        return False
    if getattr(module, MIDDLEWARE, None) is None:
        return True
    if (name, MIDDLEWARE) in attempt.report.failed:
        return False
    for plugin, settings in attempt.configured:
        if plugin.found.name == name:
            deployment = attempt.report.deployment
            context = DeclareContext(
                plugin=name,
                settings=settings,
                deployment=deployment.name,
                environment=deployment.host.deployment.environment,
            )
            unheard = Report(deployment)
            items, whole = declared(plugin, MIDDLEWARE, context, DECLARING[MIDDLEWARE], unheard)
            return whole and not any(item.security for item in items)
    return False


def _cannot(name: str, problems: Sequence[Problem], report: Report) -> None:
    report.add(
        "cannot-degrade",
        report.at(f"on_failure.{name}"),
        f"nobody knows whether {name} gives security middleware, so nothing goes on without it",
        who=problems[0].who,
        expected=f"a plugin that can be asked, or whose distribution says in the entry-point group"
        f" {DEGRADABLE} that it gives none",
        got=f"it failed before: {', '.join(dict.fromkeys(problem.code for problem in problems))}",
        fix=f"mend what is told of {name}, or take it out of plugins; {PAGE} says what its author"
        " can do",
    )


def _never(code: str, name: str, why: str, report: Report) -> None:
    report.add(
        code,
        report.at(f"on_failure.{name}"),
        f"nothing may go on without the plugin {name}",
        who=report.whose([name]),
        expected=f'{name} = "abort", which is also the default',
        got=f'{name} = "degrade", and {why}',
        fix=f"take {name} out of [on_failure]",
    )


def _required(
    plugins: Sequence[Plugin], backends: Mapping[Kind, Owned[Backend]], needed: Sequence[Need]
) -> Iterator[tuple[str, str, str]]:
    """Yield each plugin that another one needs, that other one, and what it needs it for."""
    for plugin in plugins:
        for other in plugin.info.depends:
            yield other, plugin.name, "depends on it"
    for need in needed:
        owned = backends.get(need.kind)
        if owned is not None and need.plugin and need.plugin != owned.plugin:
            yield owned.plugin, need.plugin, f"needs its {need.kind} ({need.why})"
