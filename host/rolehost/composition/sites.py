"""Where a contribution was written: ``module:line``, as well as that can be told."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from rolehost.api.contributions import (
    Actor,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Handler,
    Middleware,
    Migrations,
    Route,
)


def site(contribution: Any, hook: Any) -> str:
    """Return where a contribution was written; its hook's own place when nothing nearer is known.

    Args:
        contribution: any contribution.
        hook: the function that returned it.
    """
    match contribution:
        case Actor(fn=fn) | Handler(fn=fn) | Check(fn=fn):
            return line_of(fn)
        case Route(resource=resource):
            return line_of(type(resource))
        case Middleware(component=component):
            return line_of(type(component))
        case ErrorFormat(render=render):
            return line_of(render)
        case Backend(factory=factory):
            return line_of(factory)
        case Migrations(package=package):
            return package
        case Command(target=target):
            return target
    return line_of(hook)


def line_of(thing: Any) -> str:
    """Return ``module:line`` of a function, class or callable object, reading no source."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    thing = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing
    code = getattr(thing, "__code__", None)
    if code is None and not isinstance(thing, type):
        thing = type(thing)
    line = code.co_firstlineno if code else _line_of_class(thing)
    module = getattr(thing, "__module__", None) or "?"
    return f"{module}:{line}" if line else f"{module}:{thing.__qualname__}"


def _line_of_class(cls: type[Any]) -> int:
    """Return the line of a class; before Python 3.13 that of its first method. 0: not known."""
    known = getattr(cls, "__firstlineno__", 0)
    lines = [
        function.__code__.co_firstlineno
        for function in vars(cls).values()
        if inspect.isfunction(function) and function.__module__ == cls.__module__
    ]
    return int(known or min(lines, default=0))
