"""Calling the declaring hooks of each plugin, and checking what they return."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rolehost.api.contributions import Extension, Role
from rolehost.api.hooks import DECLARING, DeclareContext
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.composition.selection import FAILED, Loaded, call_hook
from rolehost.composition.sites import site


@dataclass(slots=True)
class Contributions:
    """All contributions of a composition, by class, in the order of plugins."""

    by_class: dict[type[Any], list[Owned[Any]]] = field(default_factory=dict)

    def of(self, kind: type[Any]) -> tuple[Owned[Any], ...]:
        """Return the contributions of one class."""
        return tuple(self.by_class.get(kind, ()))

    def add(self, owned: Owned[Any]) -> None:
        """Keep one contribution."""
        self.by_class.setdefault(type(owned.value), []).append(owned)


#: Hooks whose contributions one role alone reads, and the role; None: only commands do.
READ_BY: dict[str, Role | None] = {
    "rolehost_routes": "http",
    "rolehost_middleware": "http",
    "rolehost_checks": "http",
    "rolehost_commands": None,
}


def hooks_for(role: Role | None) -> Iterator[str]:
    """Yield the hooks that a process calls; with None, all of them."""
    for hook in DECLARING:
        if role is None or READ_BY.get(hook, role) == role:
            yield hook


def declare(
    plugin: Loaded,
    settings: Any,
    hooks: Iterable[str],
    report: Report,
    into: Contributions,
    extensions: Mapping[str, Sequence[Extension[Any]]],
) -> None:
    """Collect what one plugin contributes; wrong results go to the report.

    Args:
        extensions: what was given to the plugin's extension points.
    """
    context = DeclareContext(
        plugin=plugin.found.name,
        settings=settings,
        deployment=report.deployment.name,
        environment=report.deployment.host.deployment.environment,
        extensions=extensions,
    )
    for hook in hooks:
        items, _ = declared(plugin, hook, context, DECLARING[hook], report)
        for item in items:
            place = site(item, getattr(plugin.module, hook))
            into.add(Owned(item, plugin.found.name, place))


def declared(
    plugin: Loaded,
    hook: str,
    context: DeclareContext,
    allowed: tuple[type[Any], ...],
    report: Report,
) -> tuple[Sequence[Any], bool]:
    """Call a hook of one plugin that returns a list.

    Returns:
        The well-typed items, and whether these are all: not when the hook raised or returned
        something wrong, as the report then says.
    """
    mistakes = len(report.problems)
    result = call_hook(report, plugin.found, hook, plugin.module, context)
    if result is None or result is FAILED:
        return (), result is None
    items = list(_items(plugin, hook, result, allowed, report))
    return items, len(report.problems) == mistakes


def _items(
    plugin: Loaded, hook: str, result: Any, allowed: tuple[type[Any], ...], report: Report
) -> Iterable[Any]:
    """Return the well-typed items of a hook's result."""
    names = " or ".join(kind.__name__ for kind in allowed)
    if inspect.iscoroutine(result):
        result.close()
    if isinstance(result, allowed):
        _wrong(plugin, hook, names, f"a single {type(result).__name__}", "put it in a list", report)
        return []
    if not isinstance(result, list | tuple):
        got = type(result).__name__
        _wrong(plugin, hook, names, got, f"return a list of {names}", report)
        return []
    good = []
    for number, item in enumerate(result):
        if isinstance(item, allowed):
            good.append(item)
        else:
            got = f"{_shown(item)} at position {number}"
            _wrong(plugin, hook, names, got, f"return only {names}", report)
    return good


def _shown(item: Any) -> str:
    if inspect.isroutine(item):
        return f"the plain function {item.__name__}"
    return type(item).__name__


def _wrong(plugin: Loaded, hook: str, names: str, got: str, fix: str, report: Report) -> None:
    report.incomplete = True
    report.failed.add((plugin.found.name, hook))
    report.add(
        "hook-result",
        f"{site(None, getattr(plugin.module, hook))}, {hook}",
        f"{hook} returned what it may not",
        who=plugin.found.who,
        expected=f"a list or tuple of {names}, or None",
        got=got,
        fix=fix,
    )
