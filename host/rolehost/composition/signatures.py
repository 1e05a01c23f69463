"""Functions of actors that could not be called as the roles call them, and untyped arguments."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any

from rolehost.api.contributions import Actor
from rolehost.api.services import JobContext, Services
from rolehost.composition.calls import is_coroutine, is_generator
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.delivery import arguments


def check_signatures(contributions: Contributions, report: Report) -> None:
    """Report actors that cannot be called as they are given, or whose arguments are untyped."""
    for owned in contributions.of(Actor):
        got, fix = _fault(owned.value)
        if not got:
            _arguments(owned, report)
            continue
        report.add(
            "actor-signature",
            owned.site,
            f"the actor {owned.value.name} could not be called",
            who=report.whose([owned.plugin]),
            expected=f"def {owned.value.name.rpartition('.')[2]}(job, …)",
            got=got,
            fix=fix,
        )


def _fault(actor: Actor) -> tuple[str, str]:
    """Return what is wrong with the function of an actor, and the fix; empty when nothing is."""
    fn = actor.fn
    shown = f"def {getattr(fn, '__name__', 'actor')}{inspect.signature(fn)}"
    if is_coroutine(fn):
        return "a coroutine function", "write def instead of async def"
    if is_generator(fn):
        return "a generator function, whose body would never run", "take yield out of it"
    parameters = list(inspect.signature(fn).parameters.values())
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return f"*{parameters[0].name} instead of the context", "let it take job first"
    if not parameters or parameters[0].kind not in places:
        return shown, "let it take job first"
    for parameter in parameters[1:]:
        if wrong := _unnamed(parameter):
            return wrong, "name each argument: def f(job, name: type)"
    if _wrong_context(actor, parameters[0]):
        context = "JobContext" if actor.durable else "Services"
        return shown, f"let it take the {context} first, before {parameters[0].name}"
    return "", ""


def _unnamed(parameter: inspect.Parameter) -> str:
    """Name a parameter that no argument can be given to by its name; empty for others."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"{parameter.name}, which is positional-only"
    return ""


def _wrong_context(actor: Actor, first: inspect.Parameter) -> bool:
    """Say whether the annotation of the first parameter is that of something else."""
    if first.annotation is first.empty:
        return False
    try:
        kind = arguments.annotation(actor, first)
    except TypeError:
        return False  # a name for type checkers only: most are imported for this parameter
    context, other = (JobContext, Services) if actor.durable else (Services, JobContext)
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    for option in typing.get_args(kind) if union else (kind,):
        origin = typing.get_origin(option) or option
        if origin in (Any, object, context) or isinstance(origin, typing.TypeVar):
            return False
        # A protocol of the plugin's own says which part of the context it uses.
        if origin is not other and getattr(origin, "_is_protocol", False):
            return False
    return True


def _arguments(owned: Owned[Actor], report: Report) -> None:
    try:
        arguments.check(owned.value)
    except TypeError as error:
        report.add(
            "actor-arguments",
            owned.site,
            f"jobs of the actor {owned.value.name} could not be enqueued or read",
            who=report.whose([owned.plugin]),
            expected="arguments whose types are known when the process runs, and that JSON holds",
            got=str(error),
            fix="import the type outside of TYPE_CHECKING, or give the argument a type that"
            " msgspec encodes as JSON; write T | None if None is the default",
        )
