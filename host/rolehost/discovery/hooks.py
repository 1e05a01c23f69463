"""Checking a plugin's hooks against the specifications, before any of them is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pluggy

from rolehost.api.hooks import GROUP, Hooks
from rolehost.errors import Problem
from rolehost.suggest import did_you_mean, one_of

PREFIX = f"{GROUP}_"

#: Attribute that ``hookimpl`` leaves on a function: pluggy's name for a project's marker.
MARK = f"{GROUP}_impl"

#: Names of all hooks, in the order of their specifications.
HOOKS = tuple(name for name in vars(Hooks) if name.startswith(PREFIX))


def implementation(plugin: Any, hook: str) -> Callable[[Any], Any] | None:
    """Return a plugin's implementation of a hook as a callable of the context, or None.

    An implementation may be written without the parameter; the result takes it all the same.
    """
    function = getattr(plugin, hook, None)
    if function is None or getattr(function, MARK, None) is None:
        return None
    if "context" in inspect.signature(function).parameters:
        return lambda context: function(context=context)
    return lambda _context: function()


class HookTable:
    """The hooks of one composition: a plugin manager of its own, never shared."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)

    def register(self, name: str, plugin: Any, who: str) -> list[Problem]:
        """Check the hooks of a plugin, and register it when nothing is wrong with them.

        Args:
            name: the plugin's name.
            plugin: module or object whose functions are its hooks.
            who: plugin, distribution and version, for messages.

        Returns:
            Every mistake found; the plugin is registered when there is none.
        """
        if inspect.isclass(plugin):
            return [_is_class(plugin, who)]
        problems = [
            problem
            for hook, function in _functions(plugin)
            for problem in _mistakes(hook, function, who)
        ]
        if problems:
            return problems
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            # register() leaves the hooks it had added before it raised.
            if self._manager.get_plugin(name) is not None:
                self._manager.unregister(name=name)
            return [_refused(plugin, who, error)]
        return []


def additional(plugin: Any) -> Iterator[tuple[str, Any]]:
    """Yield the marked functions of a plugin that are no hooks of the host, sorted by name."""
    for name in sorted(dir(plugin)):
        if not name.startswith(PREFIX):
            function = getattr(plugin, name, None)
            if inspect.isroutine(function) and getattr(function, MARK, None) is not None:
                yield name, function


def line_of(function: Any) -> str:
    """Return ``module:line`` of a function, or its module alone when that is all there is."""
    module = getattr(function, "__module__", None) or "?"
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{module}:{code.co_firstlineno}" if code else module


def _functions(plugin: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted(dir(plugin)):
        if name.startswith(PREFIX):
            function = getattr(plugin, name, None)
            if inspect.isroutine(function):
                yield name, function


def _mistakes(hook: str, function: Any, who: str) -> Iterator[Problem]:
    if hook not in HOOKS:
        yield Problem(
            code="unknown-hook",
            who=who,
            where=line_of(function),
            what=f"{hook} is no hook of this host",
            expected=f"one of {one_of(HOOKS)}",
            got=hook,
            fix=did_you_mean(hook, HOOKS) or f"rename the function so that it lacks {PREFIX}",
        )
        return
    yield from form(hook, function, who)


def form(hook: str, function: Any, who: str) -> Iterator[Problem]:
    """Yield what keeps the host from calling a function as the hook of its name."""
    site = line_of(function)
    options = getattr(function, MARK, None)
    if options is None:
        yield Problem(
            code="unmarked-hook",
            who=who,
            where=site,
            what=f"{hook} is not marked, so the host would never call it",
            expected="@hookimpl above the function",
            got="a plain function",
            fix="write @rolehost.api.hookimpl above it",
        )
        return
    extra = [name for name in _required(function) if name != "context"]
    if extra:
        yield Problem(
            code="hook-arguments",
            who=who,
            where=site,
            what=f"{hook} asks for an argument that the host does not pass",
            expected=f"def {hook}(context) or def {hook}()",
            got=f"def {hook}({', '.join(inspect.signature(function).parameters)})",
            fix=did_you_mean(extra[0], ["context"]) or "take context, or nothing",
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield _shape(hook, site, who, "a coroutine function", "write def instead of async def")
    elif inspect.isgeneratorfunction(function):
        yield _shape(hook, site, who, "a generator function", "return a list instead of yielding")
    elif options.get("wrapper") or options.get("hookwrapper"):
        yield _shape(hook, site, who, "a wrapper", "take wrapper=True out of hookimpl")


def _required(function: Any) -> list[str]:
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty or name == "context"
    ]


def _shape(hook: str, site: str, who: str, got: str, fix: str) -> Problem:
    return Problem(
        code="hook-shape",
        who=who,
        where=site,
        what=f"{hook} is of a form that the host does not call",
        expected="a plain function that returns frozen declarations",
        got=got,
        fix=fix,
    )


def _is_class(plugin: type[Any], who: str) -> Problem:
    return Problem(
        code="plugin-is-class",
        who=who,
        where=f"{plugin.__module__}:{plugin.__qualname__}",
        what="the entry point names a class",
        expected="a module, or an object whose methods are marked with hookimpl",
        got=f"the class {plugin.__qualname__}",
        fix=f"name an instance of {plugin.__qualname__} in the entry point",
    )


def _refused(plugin: Any, who: str, error: Exception) -> Problem:
    return Problem(
        code="plugin-refused",
        who=who,
        where=getattr(plugin, "__name__", type(plugin).__name__),
        what="the plugin's hooks cannot be registered",
        expected="hooks as rolehost.api.hooks specifies them, each object under one name",
        got=" ".join(str(error).split()),
        fix="correct the hook, or let each entry point name an object of its own",
    )
