"""Extension points: hooks that enabled plugins add, and what other plugins give to them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolehost.api.contributions import Extension, ExtensionPoint, Role
from rolehost.api.hooks import GROUP, DeclareContext
from rolehost.composition.declare import declared
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded
from rolehost.composition.sites import site
from rolehost.discovery.hooks import additional, form, line_of
from rolehost.suggest import did_you_mean, one_of

#: What was given to each point, by hook; a point is missing when that could not be told.
Extensions = dict[str, tuple[Extension[Any], ...]]


@dataclass(frozen=True, slots=True)
class _Offered:
    """A point and the plugin that offers it."""

    point: ExtensionPoint
    by: Loaded


def collect(
    plugins: Sequence[tuple[Loaded, Any]],
    role: Role | None,
    installed: set[str],
    report: Report,
) -> Extensions:
    """Call the implementations of every point that an enabled plugin offers.

    A point that other roles read is there and empty.

    Args:
        plugins: the enabled ones in their order, each with its settings.
        role: as of :func:`rolehost.composition.compose`.
        installed: names of all installed plugins, enabled or not.
        report: takes points that cannot be offered, misspelled and misshapen implementations,
            and wrong results.
    """
    offered: dict[str, _Offered] = {}
    for plugin, _ in plugins:
        for point in plugin.info.extension_points:
            if _sound(point, plugin, offered, report):
                offered[point.hook] = _Offered(point, plugin)
    misshapen = {
        (plugin.found.name, hook)
        for plugin, _ in plugins
        for hook in _mistakes(plugin, offered, installed, report)
    }
    result: Extensions = {}
    for hook, offer in offered.items():
        wanted = role is None or offer.point.role in (None, role)
        given = [
            None
            if (plugin.found.name, hook) in misshapen
            else _given(offer.point, plugin, settings, report)
            for plugin, settings in (plugins if wanted else ())
        ]
        if None not in given:
            result[hook] = tuple(each for some in given for each in some or ())
    return result


def given_to(plugin: Loaded, extensions: Extensions) -> Mapping[str, tuple[Extension[Any], ...]]:
    """Return what was given to the points of one plugin, by hook."""
    hooks = [getattr(point, "hook", "") for point in plugin.info.extension_points]
    return {hook: extensions[hook] for hook in hooks if hook in extensions}


def _given(
    point: ExtensionPoint, plugin: Loaded, settings: Any, report: Report
) -> list[Extension[Any]] | None:
    context = DeclareContext(
        plugin=plugin.found.name,
        settings=settings,
        deployment=report.deployment.name,
        environment=report.deployment.host.deployment.environment,
    )
    items, whole = declared(plugin, point.hook, context, point.classes, report)
    if not whole:
        return None
    return [
        Extension(
            value=item,
            plugin=plugin.found.name,
            who=plugin.found.who,
            site=site(item, getattr(plugin.module, point.hook)),
        )
        for item in items
    ]


def _prefix(plugin: str) -> str:
    """Return what the hooks of a plugin's points begin with."""
    return plugin.replace("-", "_") + "_"


def _sound(point: Any, plugin: Loaded, offered: Mapping[str, _Offered], report: Report) -> bool:
    """Say whether a point can be offered; report why not."""
    where = f"{plugin.found.target}, rolehost_plugin"
    if not isinstance(point, ExtensionPoint):
        report.add(
            "hook-result",
            where,
            "PluginInfo.extension_points holds something else than an ExtensionPoint",
            who=plugin.found.who,
            expected="rolehost.api.ExtensionPoint(hook=…, returns=…, summary=…)",
            got=type(point).__name__,
            fix="make it an ExtensionPoint",
        )
        return False
    prefix = _prefix(plugin.found.name)
    if not point.hook.isidentifier() or not point.hook.startswith(prefix) or prefix == "rolehost_":
        report.add(
            "extension-point",
            where,
            f"the extension point {point.hook} is not named after its plugin",
            who=plugin.found.who,
            expected=f"the name of a function that begins with {prefix}",
            got=point.hook,
            fix=f"name it {prefix}{point.hook.removeprefix(GROUP + '_')}",
        )
        return False
    if not point.classes or not all(isinstance(each, type) for each in point.classes):
        report.add(
            "extension-point",
            where,
            f"the extension point {point.hook} does not say what it takes",
            who=plugin.found.who,
            expected="returns= a class, or a tuple of classes",
            got=repr(point.returns),
            fix="name the class of its items",
        )
        return False
    if point.hook in offered:
        other = offered[point.hook].by.found
        report.add(
            "duplicate-extension-point",
            where,
            f"the extension point {point.hook} is offered twice",
            who=report.whose([plugin.found.name, other.name]),
            expected="one owner",
            got=f"{other.name} and {plugin.found.name}",
            fix="rename it in one of them",
        )
        return False
    return True


def _mistakes(
    plugin: Loaded, offered: Mapping[str, _Offered], installed: set[str], report: Report
) -> Iterator[str]:
    """Report functions that are no implementation, and yield the points they were meant for."""
    marked = dict(additional(plugin.module))
    for hook in offered:
        function = marked.get(hook) or getattr(plugin.module, hook, None)
        if inspect.isroutine(function):
            problems = list(form(hook, function, plugin.found.who))
            report.extend(problems)
            if problems:
                yield hook
    for name, function in marked.items():
        if name not in offered:
            meant = _meant(name, offered, installed)
            if meant:
                report.add(
                    "unknown-hook",
                    line_of(function),
                    f"{name} is no extension point of an enabled plugin",
                    who=plugin.found.who,
                    expected=f"one of {one_of(meant)}",
                    got=name,
                    fix=did_you_mean(name, meant)
                    or "rename the function, or take @hookimpl from it",
                )
                yield from meant


def _meant(name: str, offered: Mapping[str, _Offered], installed: set[str]) -> list[str]:
    """Return the points that a marked function could be meant for; empty when it is no mistake.

    A point of a plugin that is not enabled here, perhaps not even installed, is not known.
    """
    owners = {offer.by.found.name for offer in offered.values()}
    theirs = [hook for hook in offered if name.startswith(_prefix(offered[hook].by.found.name))]
    others = [each for each in installed - owners if name.startswith(_prefix(each))]
    longest = max((len(each) for each in others), default=0)
    mine = [hook for hook in theirs if len(offered[hook].by.found.name) > longest]
    if mine:
        return sorted(mine)
    if others:
        return []
    return sorted(hook for hook in offered if did_you_mean(name, [hook]))
