"""Extension points: hooks that enabled plugins add, and the items that other plugins give."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolehost.api.contributions import Extension, ExtensionPoint, Role
from rolehost.api.hooks import GROUP
from rolehost.composition.declaring import LoadedPlugin, call_list_hook, context_of
from rolehost.composition.locations import location
from rolehost.composition.problems import Problems
from rolehost.discovery.hooks import extension_functions, line_of, signature_problems
from rolehost.suggest import did_you_mean, one_of

#: Hook → items of the point; a point is missing if a plugin failed to give its items.
Extensions = dict[str, tuple[Extension[Any], ...]]

#: Hook → the offered point and its plugin.
_Offered = dict[str, tuple[ExtensionPoint, LoadedPlugin]]


def collect(
    plugins: Sequence[tuple[LoadedPlugin, Any]],
    role: Role | None,
    installed: set[str],
    problems: Problems,
) -> Extensions:
    """Call the implementations of every offered point; points of other roles have no items."""
    offered: _Offered = {}
    for plugin, _ in plugins:
        for point in plugin.info.extension_points:
            if _is_sound(point, plugin, offered, problems):
                offered[point.hook] = (point, plugin)
    wrong = {
        (plugin.found.name, hook)
        for plugin, _ in plugins
        for hook in _check_implementations(plugin, offered, installed, problems)
    }
    result: Extensions = {}
    for hook, (point, _) in offered.items():
        readers = plugins if role is None or point.role in (None, role) else ()
        items: list[Extension[Any]] = []
        whole = True
        for plugin, settings in readers:
            if (plugin.found.name, hook) in wrong:
                whole = False
            else:
                given, right = _given(point, plugin, settings, problems)
                items += given
                whole = whole and right
        if whole:
            result[hook] = tuple(items)
    return result


def given_to(
    plugin: LoadedPlugin, extensions: Extensions
) -> Mapping[str, tuple[Extension[Any], ...]]:
    """Return the items of the points of one plugin, by hook."""
    hooks = [getattr(point, "hook", "") for point in plugin.info.extension_points]
    return {hook: extensions[hook] for hook in hooks if hook in extensions}


def _given(
    point: ExtensionPoint, plugin: LoadedPlugin, settings: Any, problems: Problems
) -> tuple[list[Extension[Any]], bool]:
    context = context_of(plugin.found, problems, settings)
    items, whole = call_list_hook(problems, plugin, point.hook, point.classes, context)
    name, who = plugin.found.name, plugin.found.who
    hook = getattr(plugin.module, point.hook, None)
    given = [
        Extension(value=item, plugin=name, who=who, location=location(item, hook)) for item in items
    ]
    return given, whole


def _prefix(plugin: str) -> str:
    return plugin.replace("-", "_") + "_"


def _is_sound(point: Any, plugin: LoadedPlugin, offered: _Offered, problems: Problems) -> bool:
    name = plugin.found.name
    where = f"{plugin.found.target}, rolehost_plugin"
    prefix = _prefix(name)
    if not isinstance(point, ExtensionPoint):
        got = type(point).__name__
        problems.add("hook-result.extension-points", where, failed=[name], got=got)
        return False
    hook = point.hook
    if not hook.isidentifier() or not hook.startswith(prefix) or prefix == "rolehost_":
        better = prefix + hook.removeprefix(f"{GROUP}_")
        values = {"hook": hook, "prefix": prefix, "better": better}
        problems.add("extension-point.name", where, failed=[name], **values)
        return False
    if not point.classes or not all(isinstance(each, type) for each in point.classes):
        got = repr(point.returns)
        problems.add("extension-point.returns", where, failed=[name], hook=hook, got=got)
        return False
    if hook in offered:
        other = offered[hook][1].found.name
        both = {"one": other, "other": name}
        problems.add("duplicate-extension-point", where, failed=[name, other], hook=hook, **both)
        return False
    return True


def _check_implementations(
    plugin: LoadedPlugin, offered: _Offered, installed: set[str], problems: Problems
) -> Iterator[str]:
    """Report malformed and misspelt implementations; yield the points that they are meant for."""
    marked = dict(extension_functions(plugin.module))
    for hook in offered:
        function = marked.get(hook) or getattr(plugin.module, hook, None)
        if inspect.isroutine(function):
            wrong = list(signature_problems(hook, function, plugin.found.who))
            problems.add_raised(plugin.found.name, wrong)
            if wrong:
                yield hook
    for name, function in marked.items():
        meant = [] if name in offered else _meant(name, offered, installed)
        if meant:
            problems.unknown_results.add((plugin.found.name, "rolehost_middleware"))
            problems.add(
                "unknown-hook.extension",
                line_of(function),
                failed=[plugin.found.name],
                hint=did_you_mean(name, meant),
                hook=name,
                known=one_of(meant),
            )
            yield from meant


def _meant(name: str, offered: _Offered, installed: set[str]) -> list[str]:
    """Return the points that a function may be meant for; empty if their plugin is not enabled."""
    owners = {plugin.found.name for _, plugin in offered.values()}
    others = [each for each in installed - owners if name.startswith(_prefix(each))]
    longest = max(map(len, others), default=0)
    theirs = [
        hook
        for hook, (_, plugin) in offered.items()
        if name.startswith(_prefix(plugin.found.name)) and len(plugin.found.name) > longest
    ]
    if theirs or others:
        return sorted(theirs)
    return sorted(hook for hook in offered if did_you_mean(name, [hook]))
