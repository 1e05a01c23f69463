"""The source location of a contribution: ``module:line`` if it is known."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Authentication,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Middleware,
    Migrations,
    Route,
)
from rolehost.api.handlers import Handler


def location(contribution: Any, hook: Any) -> str:
    """Return the source location of a contribution, or of its hook if the contribution has none."""
    match contribution:
        case Actor(fn=fn) | Handler(fn=fn) | Check(fn=fn):
            return line_of(fn)
        case Route(resource=thing) | Middleware(component=thing) if not _builtin(type(thing)):
            return line_of(type(thing))
        case ErrorFormat(render=thing) | Backend(factory=thing) if not _builtin(thing):
            return line_of(thing)
        case Authentication(admits=thing) if callable(thing) and not _builtin(thing):
            return line_of(thing)
        case Migrations(package=package):
            return package
        case Command(target=target):
            return target
    return line_of(hook)


def _builtin(thing: Any) -> bool:
    """Return whether an object is a builtin, which has no useful location."""
    if isinstance(thing, functools.partial):
        return _builtin(thing.func)
    return getattr(thing, "__module__", None) in (None, "builtins")


def line_of(thing: Any) -> str:
    """Return ``module:line`` of a function, class or callable object. No source file is read."""
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
    """Return the line of the first method of a class, else of the class; 0 if neither is known.

    Only Python 3.13 and later record the line of a class. The first method gives the same line in
    every version.
    """
    lines = [
        inspect.unwrap(function).__code__.co_firstlineno
        for function in vars(cls).values()
        if inspect.isfunction(function) and function.__module__ == cls.__module__
    ]
    return int(min(lines, default=0) or getattr(cls, "__firstlineno__", 0))
