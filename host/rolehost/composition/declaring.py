"""Asking each plugin for its contributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolehost.api.contributions import Extension, Role
from rolehost.api.hooks import DECLARING
from rolehost.api.metrics import Metric
from rolehost.composition.calling import Loaded, call_list_hook, context_of
from rolehost.composition.locations import line_of, location
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems

#: Hooks whose contributions only one role reads, and the role; None: only commands do.
READ_BY: dict[str, Role | None] = {
    "rolehost_routes": "http",
    "rolehost_middleware": "http",
    "rolehost_checks": "http",
    "rolehost_commands": None,
}


def hooks_for(role: Role | None) -> Iterator[str]:
    """Yield the hooks that a process of this role calls; with None, all of them."""
    for hook in DECLARING:
        if role is None or READ_BY.get(hook, role) == role:
            yield hook


def declare(
    plugin: Loaded,
    settings: Any,
    role: Role | None,
    problems: Problems,
    into: Contributions,
    extensions: Mapping[str, Sequence[Extension[Any]]],
) -> None:
    """Collect the contributions of one plugin.

    Args:
        plugin: the plugin.
        settings: its decoded settings.
        role: as of :func:`hooks_for`.
        problems: receives wrong results.
        into: receives the contributions.
        extensions: the items of the plugin's extension points.
    """
    name = plugin.found.name
    context = context_of(plugin.found, problems, settings, extensions)
    for hook in hooks_for(role):
        items, _ = call_list_hook(problems, plugin, hook, DECLARING[hook], context)
        for item in items:
            into.add(Owned(item, name, location(item, getattr(plugin.module, hook))))
    place = line_of(plugin.module.rolehost_plugin)
    for metric in _metrics(plugin, problems):
        into.add(Owned(metric, name, place))


def _metrics(plugin: Loaded, problems: Problems) -> Iterator[Metric]:
    """Yield the metrics in a plugin's description; report anything else there."""
    given: Any = plugin.info.metrics
    wrong: list[tuple[str, str]] = []
    if not isinstance(given, list | tuple):
        wrong.append((type(given).__name__, "put it in a tuple"))
        given = ()
    for number, metric in enumerate(given):
        if isinstance(metric, Metric):
            yield metric
        else:
            got = f"{type(metric).__name__} at position {number}"
            wrong.append((got, "make it a Metric(name=…, kind=…, summary=…)"))
    for got, fix in wrong:
        where = f"{plugin.found.target}, rolehost_plugin"
        problems.add("hook-result.metrics", where, who=plugin.found.who, got=got, fix=fix)
