"""The order of plugins: dependencies first, ties as the deployment lists them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rolehost.composition.model import Degraded
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded
from rolehost.suggest import did_you_mean


def ordered(
    plugins: Sequence[Loaded], report: Report, known: Collection[str]
) -> tuple[Loaded, ...]:
    """Return plugins so that ``depends`` and ``after`` come first; mistakes go to the report.

    A plugin whose dependency is missing, or that stands in a cycle, stays in the result, so
    that its other mistakes are found too.

    Args:
        plugins: in the order of the deployment.
        report: takes missing dependencies, conflicts and cycles.
        known: names of all installed plugins.
    """
    enabled = {plugin.found.name: plugin for plugin in plugins}
    for plugin in plugins:
        _relations(plugin, report, known)
    first = {
        name: [
            other
            for other in (*plugin.info.depends, *plugin.info.after)
            if other in enabled and other != name
        ]
        for name, plugin in enabled.items()
    }
    result: list[Loaded] = []
    placed: set[str] = set()
    while len(placed) < len(enabled):
        free = next(
            (
                name
                for name in enabled
                if name not in placed and all(other in placed for other in first[name])
            ),
            None,
        )
        if free is None:
            free = _cycle(first, placed, enabled, report)
        placed.add(free)
        result.append(enabled[free])
    return tuple(result)


def _relations(plugin: Loaded, report: Report, known: Collection[str]) -> None:
    name = plugin.found.name
    listed = report.deployment.plugins
    for other in plugin.info.depends:
        if other in report.degraded:
            _depends_on_failed(plugin, report.degraded[other], report)
        elif other not in listed:
            hint = "" if other in known else did_you_mean(other, known)
            report.add(
                "missing-dependency",
                report.enabled_at(name),
                f"the plugin {name} depends on {other}, which is not enabled",
                who=plugin.found.who,
                expected=f"{other} among plugins",
                got="installed but not enabled" if other in known else "not installed",
                fix=f"add {other} to plugins"
                if other in known
                else hint or f"install what brings {other}, and add it to plugins",
            )


def _depends_on_failed(plugin: Loaded, failed: Degraded, report: Report) -> None:
    report.add(
        "degraded-dependency",
        report.enabled_at(plugin.found.name),
        f"the plugin {plugin.found.name} depends on {failed.name}, which has failed",
        who=plugin.found.who,
        expected=f"{failed.name} to work",
        got=failed.reason,
        fix=f"mend {failed.name} ({failed.distribution} {failed.version})",
    )


def _cycle(
    first: dict[str, list[str]], placed: set[str], enabled: Collection[str], report: Report
) -> str:
    """Report one cycle and return the plugin at which it is broken, so that ordering goes on."""
    chain = [next(name for name in enabled if name not in placed)]
    while True:
        following = next(other for other in first[chain[-1]] if other not in placed)
        if following in chain:
            break
        chain.append(following)
    circle = chain[chain.index(following) :]
    start = circle.index(min(circle))
    circle = [*circle[start:], *circle[:start]]
    report.add(
        "dependency-cycle",
        "; ".join(report.enabled_at(name) for name in circle),
        "plugins depend on each other in a circle",
        who=report.whose(circle),
        expected="an order in which dependencies come first",
        got=" -> ".join([*circle, circle[0]]),
        fix="take one depends or after out of these plugins",
    )
    return circle[0]
