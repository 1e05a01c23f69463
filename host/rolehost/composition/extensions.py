"""Extension points: hooks that enabled plugins add, and the items that other plugins give."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolehost.api.contributions import Extension, ExtensionPoint, Role
from rolehost.api.hooks import GROUP
from rolehost.composition.declaring import LoadedPlugin, call_list_hook, items_of
from rolehost.composition.locations import location
from rolehost.composition.problems import Problems
from rolehost.discovery.hooks import extension_functions, line_of, signature_problems
from rolehost.suggest import did_you_mean, one_of

#: Hook → items of the extension point; a point is missing if the items of a plugin are unknown.
Extensions = dict[str, tuple[Extension[Any], ...]]

#: Hook → the offered point and its plugin.
_Offered = dict[str, tuple[ExtensionPoint, LoadedPlugin]]


def collect(
    plugins: Sequence[LoadedPlugin],
    role: Role | None,
    installed: set[str],
    problems: Problems,
) -> Extensions:
    """Call the implementations of every offered point; points of other roles have no items."""
    offered: _Offered = {}
    for plugin in plugins:
        for point in items_of(problems, plugin, "extension_points", ExtensionPoint):
            if _is_sound(point, plugin, offered, problems):
                offered[point.hook] = (point, plugin)
    for plugin in plugins:
        _check_implementations(plugin, offered, installed, problems)
    result: Extensions = {}
    unknown = problems.unknown_results
    for hook, (point, _) in offered.items():
        callers = plugins if role is None or point.role in (None, role) else ()
        items = [
            item
            for plugin in callers
            if (plugin.found.name, hook) not in unknown
            for item in _given(point, plugin, problems)
        ]
        if not any((plugin.found.name, hook) in unknown for plugin in callers):
            result[hook] = tuple(items)
    return result


def given_to(
    plugin: LoadedPlugin, extensions: Extensions
) -> Mapping[str, tuple[Extension[Any], ...]]:
    """Return the items of the points of one plugin, by hook."""
    hooks = [getattr(point, "hook", "") for point in plugin.info.extension_points]
    return {hook: extensions[hook] for hook in hooks if hook in extensions}


def _given(
    point: ExtensionPoint, plugin: LoadedPlugin, problems: Problems
) -> Iterator[Extension[Any]]:
    name, who = plugin.found.name, plugin.found.who
    hook = getattr(plugin.module, point.hook, None)
    for item in call_list_hook(problems, plugin, point.hook, point.classes):
        yield Extension(value=item, plugin=name, who=who, location=location(item, hook))


def _prefix(plugin: str) -> str:
    return plugin.replace("-", "_") + "_"


def _is_sound(
    point: ExtensionPoint, plugin: LoadedPlugin, offered: _Offered, problems: Problems
) -> bool:
    name = plugin.found.name
    where = f"{plugin.found.target}, rolehost_plugin"
    prefix = _prefix(name)
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
) -> None:
    """Report malformed and misspelt implementations; their results are unknown."""
    name = plugin.found.name
    marked = dict(extension_functions(plugin.module))
    for hook in offered:
        function = marked.get(hook) or getattr(plugin.module, hook, None)
        if inspect.isroutine(function):
            wrong = list(signature_problems(hook, function, plugin.found.who))
            problems.add_raised(name, wrong)
            if wrong:
                problems.unknown_results.add((name, hook))
    for hook, function in marked.items():
        meant = [] if hook in offered else _meant(hook, offered, installed)
        if meant:
            # The function may also be a misspelt rolehost_middleware.
            problems.unknown_results |= {(name, each) for each in (*meant, "rolehost_middleware")}
            problems.add(
                "unknown-hook.extension",
                line_of(function),
                failed=[name],
                hint=did_you_mean(hook, meant),
                hook=hook,
                known=one_of(meant),
            )


def _meant(name: str, offered: _Offered, installed: set[str]) -> list[str]:
    """Return the points of enabled plugins that a function may be meant for."""
    owner = max((each for each in installed if name.startswith(_prefix(each))), key=len, default="")
    return sorted(
        hook
        for hook, (_, plugin) in offered.items()
        if (plugin.found.name == owner if owner else did_you_mean(name, [hook]))
    )
