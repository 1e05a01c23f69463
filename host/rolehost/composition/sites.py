"""Where a contribution was written: ``module:line``, as well as that can be told."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from rolehost.api.contributions import (
    Actor,
    Authentication,
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
        case Route(resource=thing) | Middleware(component=thing) if not _foreign(type(thing)):
            return line_of(type(thing))
        case ErrorFormat(render=thing) | Backend(factory=thing) if not _foreign(thing):
            return line_of(thing)
        case Authentication(admits=thing) if callable(thing) and not _foreign(thing):
            return line_of(thing)
        case Migrations(package=package):
            return package
        case Command(target=target):
            return target
    return line_of(hook)


def _foreign(thing: Any) -> bool:
    """Say whether a thing is Python's own, so that its place tells nothing."""
    if isinstance(thing, functools.partial):
        return _foreign(thing.func)
    return getattr(thing, "__module__", None) in (None, "builtins")


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
    """Return the line of a class's first method, else of the class; 0 when neither is known.

    Only Python 3.13 knows the lines of classes: methods give every version the same answer.
    """
    lines = [
        inspect.unwrap(function).__code__.co_firstlineno
        for function in vars(cls).values()
        if inspect.isfunction(function) and function.__module__ == cls.__module__
    ]
    return int(min(lines, default=0) or getattr(cls, "__firstlineno__", 0))
