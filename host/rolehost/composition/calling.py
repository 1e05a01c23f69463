"""Calling the declaring hooks of a plugin, and checking what they return."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from rolehost.api.contributions import Extension, PluginInfo
from rolehost.api.hooks import DeclareContext
from rolehost.composition.locations import line_of
from rolehost.composition.problems import Problems
from rolehost.discovery import Found
from rolehost.discovery.bounded import Overdue, bounded
from rolehost.discovery.hooks import implementation
from rolehost.errors import ConfigurationError, Problem, SettingRefused

#: What :func:`call_hook` returns if the hook failed.
FAILED: Any = object()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that is imported and has described itself; its settings are not decoded yet."""

    found: Found
    module: Any
    info: PluginInfo


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
    """Call one declaring hook of one plugin.

    Returns:
        Its result; None if the plugin has no such hook; ``FAILED``, with a problem, if it raised
        or exceeded its time limit.
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
    """Call one hook that returns a list.

    Returns:
        The items of the right types, and whether these are all: False, with a problem, if it
        failed or returned something wrong.
    """
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
    """Yield what is wrong with the result of a hook, and the fix."""
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
    """Yield the problems that a plugin raised itself; those that name it are its fault."""
    for problem in problems:
        itself = problem.who in (found.who, f"plugin {found.name}")
        yield replace(problem, who=found.who) if itself else problem


def _refused(problems: Problems, found: Found, error: SettingRefused) -> Problem:
    return Problem(
        code="refused-setting",
        # The operator's error, not the plugin's: going on without the plugin would hide it.
        who=str(found.who),
        where=problems.at(f"{found.name}.{error.setting}"),
        what=str(error),
        expected=error.expected,
        got=error.got,
        fix=error.fix,
    )


def _raised_at(error: BaseException) -> str:
    """Return ``module:line`` of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
