"""The order of plugins: a topological sort. Ties keep the order of the deployment file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rolehost.composition.declaring import LoadedPlugin
from rolehost.composition.problems import Problems
from rolehost.suggest import did_you_mean


def ordered(
    plugins: Sequence[LoadedPlugin], problems: Problems, known: Collection[str]
) -> tuple[LoadedPlugin, ...]:
    """Sort plugins so that ``depends`` and ``after`` come first; ties keep their order.

    A plugin in a cycle or without its dependency stays in the result, so that its other problems
    are found too. ``known`` are the names of all installed plugins.
    """
    enabled = {plugin.found.name: plugin for plugin in plugins}
    for plugin in plugins:
        _check_dependencies(plugin, problems, known)
    first = {
        name: {*plugin.info.depends, *plugin.info.after} - {name}
        for name, plugin in enabled.items()
    }
    waiting = list(enabled)
    result: list[LoadedPlugin] = []
    while waiting:
        name = next((name for name in waiting if first[name].isdisjoint(waiting)), None)
        if name is None:
            # Break the cycle at its first plugin, so that the other plugins still come in order.
            name = _report_cycle(first, waiting, problems)
        waiting.remove(name)
        result.append(enabled[name])
    return tuple(result)


def _report_cycle(first: Mapping[str, set[str]], waiting: Sequence[str], problems: Problems) -> str:
    """Report one cycle among the waiting plugins; return its alphabetically first name."""
    chain = [waiting[0]]
    while True:
        following = next(name for name in waiting if name in first[chain[-1]])
        if following in chain:
            break
        chain.append(following)
    circle = chain[chain.index(following) :]
    start = circle.index(min(circle))
    circle = [*circle[start:], *circle[:start]]
    problems.add(
        "dependency-cycle",
        "; ".join(problems.enabled_at(name) for name in circle),
        who=problems.named(circle),
        circle=" -> ".join([*circle, circle[0]]),
    )
    return circle[0]


def _check_dependencies(plugin: LoadedPlugin, problems: Problems, known: Collection[str]) -> None:
    name, listed = plugin.found.name, problems.deployment.plugins
    for other in plugin.info.depends:
        failed = problems.degraded.get(other)
        if failed is not None:
            problems.add(
                "degraded-dependency",
                problems.enabled_at(name),
                failed=[name],
                name=name,
                other=other,
                reason=failed.reason,
                distribution=failed.distribution,
                version=failed.version,
            )
        elif other not in listed:
            problems.add(
                "missing-dependency.installed" if other in known else "missing-dependency",
                problems.enabled_at(name),
                who=plugin.found.who,
                hint="" if other in known else did_you_mean(other, known),
                name=name,
                other=other,
            )
