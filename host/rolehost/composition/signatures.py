"""Functions of actors that could not be called as the roles call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rolehost.api.contributions import Actor
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report


def check_signatures(contributions: Contributions, report: Report) -> None:
    """Report coroutine functions, and functions that do not take what they are given."""
    for owned in contributions.of(Actor):
        _check(owned, "actor", "job", 1, report)


def _check(owned: Owned[Any], noun: str, given: str, count: int, report: Report) -> None:
    fn: Callable[..., Any] = owned.value.fn
    shape = f"def {owned.value.name.rpartition('.')[2]}({given}{', …' if count == 1 else ''})"
    if inspect.iscoroutinefunction(fn):
        got, fix = "a coroutine function", "write def instead of async def"
    elif _positional(fn) < count:
        got = f"def {getattr(fn, '__name__', noun)}{inspect.signature(fn)}"
        fix = f"let it take {given} first"
    else:
        return
    report.add(
        f"{noun}-signature",
        owned.site,
        f"the {noun} {owned.value.name} could not be called",
        who=report.whose([owned.plugin]),
        expected=shape,
        got=got,
        fix=fix,
    )


def _positional(fn: Callable[..., Any]) -> int:
    """Return how many positional arguments a function takes; many for ``*args``."""
    count = 0
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return 99
        count += parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return count
