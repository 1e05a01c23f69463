"""Calls the declaring hooks of plugins and checks their results."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from rolehost.api.contributions import Extension, PluginInfo, Role
from rolehost.api.hooks import DECLARING, DeclareContext
from rolehost.api.metrics import Metric
from rolehost.bounded import TimeLimitExceeded, bounded
from rolehost.composition.locations import line_of, location
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
from rolehost.discovery import InstalledPlugin
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
class LoadedPlugin:
    """An imported plugin with its description; its settings are not decoded yet."""

    found: InstalledPlugin
    module: Any
    info: PluginInfo


def hooks_for(role: Role | None) -> Iterator[str]:
    """Yield the hooks that a process of this role calls; None: all hooks."""
    for hook in DECLARING:
        if role is None or READ_BY.get(hook, role) == role:
            yield hook


def declare(
    plugin: LoadedPlugin,
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


def _metrics(plugin: LoadedPlugin, problems: Problems) -> Iterator[Metric]:
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
        problems.add("hook-result.metrics", where, failed=[plugin.found.name], got=got, fix=fix)


def context_of(
    found: InstalledPlugin,
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
    problems: Problems, found: InstalledPlugin, hook: str, module: Any, context: DeclareContext[Any]
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
        problems.add_raised(found.name, error.problems)
    except SettingRefused as error:
        # An error of the operator: a start without the plugin would hide it.
        problems.found.append(_refused(problems, found, error))
    except TimeLimitExceeded as error:
        where = f"{error.where}, {hook}" if error.where else hook
        names = {"hook": hook, "plugin": found.name}
        problems.add("hook-hung", where, failed=[found.name], seconds=seconds, **names)
    except BaseException as error:
        problems.add(
            "hook-raised",
            f"{_raised_at(error)}, {hook}",
            failed=[found.name],
            hook=hook,
            type=type(error).__name__,
            error=error,
            plugin=found.name,
        )
    problems.unknown_contributions = True
    problems.unknown_results.add((found.name, hook))
    return FAILED


def call_list_hook(
    problems: Problems,
    plugin: LoadedPlugin,
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
    problems.unknown_contributions = True
    problems.unknown_results.add((plugin.found.name, hook))
    where = f"{line_of(getattr(plugin.module, hook))}, {hook}"
    for got, fix in wrong:
        values = {"hook": hook, "names": _names(allowed), "got": got, "fix": fix}
        problems.add("hook-result", where, failed=[plugin.found.name], **values)
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


def _refused(problems: Problems, found: InstalledPlugin, error: SettingRefused) -> Problem:
    return Problem(
        code="refused-setting",
        who=found.who,
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
