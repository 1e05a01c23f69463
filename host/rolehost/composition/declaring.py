"""Calls the declaring hooks of plugins and checks their results."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from rolehost.api.contributions import Extension, PluginInfo, Role
from rolehost.api.hooks import DECLARING, DeclareContext
from rolehost.api.metrics import Metric
from rolehost.bounded import Overdue, bounded
from rolehost.composition.locations import line_of, location
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
from rolehost.discovery import Found
from rolehost.discovery.hooks import implementation
from rolehost.errors import ConfigurationError, Problem, SettingRefused

#: Hook → the only role that uses its contributions; None: only commands use them.
READ_BY: dict[str, Role | None] = {
    "rolehost_routes": "http",
    "rolehost_middleware": "http",
    "rolehost_checks": "http",
    "rolehost_commands": None,
}

FAILED: Any = object()


@dataclass(frozen=True, slots=True)
class Loaded:
    """An imported plugin with its description; its settings are not decoded yet."""

    found: Found
    module: Any
    info: PluginInfo


def hooks_for(role: Role | None) -> Iterator[str]:
    """Yield the hooks that a process of this role calls; None: all hooks."""
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
    """Collect the contributions of one plugin, and the metrics in its description."""
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


def context_of(
    found: Found,
    problems: Problems,
    settings: Any = None,
    extensions: Mapping[str, Sequence[Extension[Any]]] | None = None,
) -> DeclareContext[Any]:
    """Return the context for the declaring hooks of a plugin."""
    return DeclareContext(
        plugin=found.name,
        settings=settings,
        deployment=problems.deployment.name,
        environment=problems.deployment.host.deployment.environment,
        extensions=extensions or {},
    )


def call_hook(
    problems: Problems, found: Found, hook: str, module: Any, context: DeclareContext[Any]
) -> Any:
    """Return the result of a declaring hook; None if the plugin has no such hook.

    Return ``FAILED``, with a problem, if it raised or exceeded its time limit.
    """
    function = implementation(module, hook)
    if function is None:
        return None
    seconds = problems.deployment.host.limits.declare
    try:
        with redirect_stdout(sys.stderr):  # standard output may be a JSON document
            return bounded(lambda: function(context), seconds, same_thread=True)
    except KeyboardInterrupt:
        raise
    except ConfigurationError as error:
        problems.found.extend(own_problems(found, error.problems))
    except SettingRefused as error:
        problems.found.append(_refused(problems, found, error))
    except Overdue as error:
        where = f"{error.where}, {hook}" if error.where else hook
        names = {"hook": hook, "plugin": found.name}
        problems.add("hook-hung", where, who=found.who, seconds=seconds, **names)
    except BaseException as error:
        problems.add(
            "hook-raised",
            f"{_raised_at(error)}, {hook}",
            who=found.who,
            hook=hook,
            type=type(error).__name__,
            error=error,
            plugin=found.name,
        )
    problems.incomplete = True
    problems.unknown.add((found.name, hook))
    return FAILED


def call_list_hook(
    problems: Problems,
    plugin: Loaded,
    hook: str,
    allowed: tuple[type[Any], ...],
    context: DeclareContext[Any],
) -> tuple[list[Any], bool]:
    """Return the items of a hook that returns a list, and whether they are complete."""
    result = call_hook(problems, plugin.found, hook, plugin.module, context)
    if result is None or result is FAILED:
        return [], result is None
    if inspect.iscoroutine(result):
        result.close()
    wrong = list(_wrong_results(result, allowed))
    if not wrong:
        return list(result), True
    problems.incomplete = True
    problems.unknown.add((plugin.found.name, hook))
    where = f"{line_of(getattr(plugin.module, hook))}, {hook}"
    names, who = _names(allowed), plugin.found.who
    for got, fix in wrong:
        problems.add("hook-result", where, who=who, hook=hook, names=names, got=got, fix=fix)
    right = result if isinstance(result, list | tuple) else ()
    return [item for item in right if isinstance(item, allowed)], False


def _wrong_results(result: Any, allowed: tuple[type[Any], ...]) -> Iterator[tuple[str, str]]:
    if isinstance(result, allowed):
        yield f"a single {type(result).__name__}", "put it in a list"
    elif not isinstance(result, list | tuple):
        yield type(result).__name__, f"return a list of {_names(allowed)}"
    else:
        for number, item in enumerate(result):
            if not isinstance(item, allowed):
                plain = inspect.isroutine(item)
                shown = f"the plain function {item.__name__}" if plain else type(item).__name__
                yield f"{shown} at position {number}", f"return only {_names(allowed)}"


def _names(classes: tuple[type[Any], ...]) -> str:
    return " or ".join(each.__name__ for each in classes)


def own_problems(found: Found, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the problems that a plugin raised; if one names the plugin, with ``found.who``."""
    for problem in problems:
        itself = problem.who in (found.who, f"plugin {found.name}")
        yield replace(problem, who=found.who) if itself else problem


def _refused(problems: Problems, found: Found, error: SettingRefused) -> Problem:
    return Problem(
        code="refused-setting",
        # A str and not Who: this is an error of the operator, not a failure of the plugin. A
        # start without the plugin would hide it.
        who=str(found.who),
        where=problems.at(f"{found.name}.{error.setting}"),
        what=str(error),
        expected=error.expected,
        got=error.got,
        fix=error.fix,
    )


def _raised_at(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
