"""Calls the declaring hooks of plugins and checks their results."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from rolehost.api.contributions import ROLES, Extension, PluginInfo, Role
from rolehost.api.hooks import DECLARING, DeclareContext
from rolehost.api.metrics import Metric
from rolehost.bounded import TimeLimitExceeded, bounded
from rolehost.composition.locations import line_of, location
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
from rolehost.discovery import InstalledPlugin
from rolehost.discovery.hooks import implementation
from rolehost.errors import ConfigurationError, Problem, SettingRefused

#: The result of :func:`call_hook` if the hook failed.
FAILED = object()

#: Hook → the roles that use its contributions, if not all do. Commands use those of every hook.
READ_BY: dict[str, tuple[Role, ...]] = {
    "rolehost_routes": ("http",),
    "rolehost_middleware": ("http",),
    "rolehost_job_middleware": ("worker", "consumer"),
    "rolehost_checks": ("http",),
    "rolehost_commands": (),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """An imported plugin with its description; ``settings`` is None until they are decoded."""

    found: InstalledPlugin
    module: Any
    info: PluginInfo
    settings: Any = None


def declare(
    plugin: LoadedPlugin,
    role: Role | None,
    problems: Problems,
    into: Contributions,
    extensions: Mapping[str, Sequence[Extension[Any]]],
) -> None:
    """Collect the contributions of one plugin, and the metrics in its description."""
    name = plugin.found.name
    for hook, classes in DECLARING.items():
        if role is None or role in READ_BY.get(hook, ROLES):
            for item in call_list_hook(problems, plugin, hook, classes, extensions):
                into.add(Owned(item, name, location(item, getattr(plugin.module, hook))))
    place = line_of(plugin.module.rolehost_plugin)
    for metric in items_of(problems, plugin, "metrics", Metric):
        into.add(Owned(metric, name, place))


def items_of(problems: Problems, plugin: LoadedPlugin, field: str, kind: type[T]) -> tuple[T, ...]:
    """Return the valid items of a field of a plugin's description; report the invalid items."""
    value = getattr(plugin.info, field)
    for got, fix in _wrong_items(value, (kind,)):
        where = f"{plugin.found.target}, rolehost_plugin"
        words = {"field": field, "name": kind.__name__, "got": got, "fix": fix}
        problems.add("hook-result.items", where, failed=[plugin.found.name], **words)
    return tuple(_valid_items(value, (kind,)))


def call_hook(
    problems: Problems,
    found: InstalledPlugin,
    hook: str,
    module: Any,
    settings: Any = None,
    extensions: Mapping[str, Sequence[Extension[Any]]] = MappingProxyType({}),
) -> Any:
    """Return the result of a declaring hook; None if the plugin has no such hook.

    If the hook raises or exceeds its time limit, add a problem and return FAILED.
    """
    function = implementation(module, hook)
    if function is None:
        return None
    host = problems.deployment.host
    context = DeclareContext(
        plugin=found.name,
        settings=settings,
        deployment=problems.deployment.name,
        environment=host.deployment.environment,
        extensions=extensions,
    )
    try:
        with redirect_stdout(sys.stderr):  # standard output may be a JSON document
            return bounded(lambda: function(context), host.limits.declare, same_thread=True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _report(problems, found, hook, error)
    problems.unknown_contributions = True
    problems.unknown_results.add((found.name, hook))
    return FAILED


def _report(problems: Problems, found: InstalledPlugin, hook: str, error: BaseException) -> None:
    """Add the problem of a hook that failed."""
    names = {"hook": hook, "plugin": found.name}
    if isinstance(error, ConfigurationError):
        problems.add_raised(found.name, error.problems)
    elif isinstance(error, SettingRefused):
        # This is an error of the operator: a start without the plugin would hide it.
        problems.found.append(_refused(problems, found, error))
    elif isinstance(error, TimeLimitExceeded):
        where = f"{error.where}, {hook}" if error.where else hook
        seconds = problems.deployment.host.limits.declare
        problems.add("hook-hung", where, failed=[found.name], seconds=seconds, **names)
    else:
        where = f"{_raised_at(error)}, {hook}"
        raised: dict[str, Any] = {"type": type(error).__name__, "error": error}
        problems.add("hook-raised", where, failed=[found.name], **names, **raised)


def call_list_hook(
    problems: Problems,
    plugin: LoadedPlugin,
    hook: str,
    allowed: tuple[type[Any], ...],
    extensions: Mapping[str, Sequence[Extension[Any]]] = MappingProxyType({}),
) -> list[Any]:
    """Return the valid items of a hook.

    If the hook fails or an item is not valid, add a problem, and add the hook to
    ``problems.unknown_results``.
    """
    result = call_hook(problems, plugin.found, hook, plugin.module, plugin.settings, extensions)
    if result is None or result is FAILED:
        return []
    if inspect.iscoroutine(result):
        result.close()
    for got, fix in _wrong_items(result, allowed):
        problems.unknown_contributions = True
        problems.unknown_results.add((plugin.found.name, hook))
        where = f"{line_of(getattr(plugin.module, hook))}, {hook}"
        values = {"hook": hook, "names": _names(allowed), "got": got, "fix": fix}
        problems.add("hook-result", where, failed=[plugin.found.name], **values)
    return _valid_items(result, allowed)


def _valid_items(result: Any, allowed: tuple[type[Any], ...]) -> list[Any]:
    items = result if isinstance(result, list | tuple) else ()
    return [item for item in items if isinstance(item, allowed)]


def _wrong_items(result: Any, allowed: tuple[type[Any], ...]) -> Iterator[tuple[str, str]]:
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
