"""Checks a plugin's hooks against the specifications before the host calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pluggy

from rolehost.api.hooks import GROUP, Hooks
from rolehost.errors import Problem
from rolehost.messages import problem
from rolehost.suggest import did_you_mean, one_of

PREFIX = f"{GROUP}_"

#: Attribute that ``hookimpl`` sets on a function (pluggy's HookimplMarker).
MARK = f"{GROUP}_impl"

#: Names of all hooks, in the order of their specifications.
HOOKS = tuple(name for name in vars(Hooks) if name.startswith(PREFIX))


def implementation(plugin: Any, hook: str) -> Callable[[Any], Any] | None:
    """Return a function that calls a hook with a context; None if the plugin has no such hook.

    If the hook takes no argument, the returned function drops the context.
    """
    function = getattr(plugin, hook, None)
    if function is None or getattr(function, MARK, None) is None:
        return None
    if "context" in inspect.signature(function).parameters:
        return lambda context: function(context=context)
    return lambda _context: function()


class HookTable:
    """The hooks of one composition; compositions do not share a plugin manager."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)

    def register(self, name: str, plugin: Any, who: str) -> list[Problem]:
        """Check the hooks of a plugin, and register it if they have no problem."""
        if inspect.isclass(plugin):
            where = f"{plugin.__module__}:{plugin.__qualname__}"
            return [problem("plugin-is-class", who=who, where=where, name=plugin.__qualname__)]
        problems = [
            found
            for hook, function in _routines(plugin, host=True)
            for found in _hook_problems(hook, function, who)
        ]
        if problems:
            return problems
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            # register() may have added hooks before it raised.
            if self._manager.get_plugin(name) is not None:
                self._manager.unregister(name=name)
            where = getattr(plugin, "__name__", type(plugin).__name__)
            text = " ".join(str(error).split())
            return [problem("plugin-refused", who=who, where=where, error=text)]
        return []


def extension_functions(plugin: Any) -> Iterator[tuple[str, Any]]:
    """Yield the marked functions of a plugin that are not hooks of the host, sorted by name."""
    for name, function in _routines(plugin, host=False):
        if getattr(function, MARK, None) is not None:
            yield name, function


def line_of(function: Any) -> str:
    """Return ``module:line`` of a function; the module alone if the line is not known."""
    module = getattr(function, "__module__", None) or "?"
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{module}:{code.co_firstlineno}" if code else module


def _routines(plugin: Any, *, host: bool) -> Iterator[tuple[str, Any]]:
    """Yield the functions with the prefix of the host's hooks; if not ``host``, all without it."""
    for name in sorted(dir(plugin)):
        if name.startswith(PREFIX) == host:
            function = getattr(plugin, name, None)
            if inspect.isroutine(function):
                yield name, function


def _hook_problems(hook: str, function: Any, who: str) -> Iterator[Problem]:
    if hook in HOOKS:
        yield from signature_problems(hook, function, who)
    else:
        hint, known = did_you_mean(hook, HOOKS), one_of(HOOKS)
        where = line_of(function)
        yield problem("unknown-hook", who=who, where=where, hint=hint, hook=hook, known=known)


def signature_problems(hook: str, function: Any, who: str) -> Iterator[Problem]:
    """Yield each reason why the host cannot call a function as a hook."""
    where = line_of(function)
    options = getattr(function, MARK, None)
    if options is None:
        yield problem("unmarked-hook", who=who, where=where, hook=hook)
        return
    parameters = inspect.signature(function).parameters
    unknown = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name != "context"
    ]
    if unknown:
        hint, shown = did_you_mean(unknown[0], ["context"]), ", ".join(parameters)
        yield problem(
            "hook-arguments", who=who, where=where, hint=hint, hook=hook, parameters=shown
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        got, fix = "a coroutine function", "write def instead of async def"
    elif inspect.isgeneratorfunction(function):
        got, fix = "a generator function", "return a list instead of yielding"
    elif options.get("wrapper") or options.get("hookwrapper"):
        got, fix = "a wrapper", "remove wrapper=True from hookimpl"
    else:
        return
    yield problem("hook-shape", who=who, where=where, hook=hook, got=got, fix=fix)
