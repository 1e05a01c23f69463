"""Contributed functions, checked against how the host is going to call them.

One mechanism for everything callable: :func:`mismatch` binds the arguments of the host's own call
to the function's signature. A function that a decorator replaced is judged by the replacement,
because that is what the host calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from rolehost.api.contributions import (
    Authentication,
    Backend,
    Check,
    ErrorFormat,
    Handler,
    Middleware,
    Route,
)
from rolehost.composition import fields
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.composition.routing import responders
from rolehost.composition.sites import line_of

#: Methods of a Falcon ASGI middleware and the positional arguments that Falcon calls each with.
MIDDLEWARE: dict[str, tuple[str, ...]] = {
    "process_startup": ("scope", "event"),
    "process_shutdown": ("scope", "event"),
    "process_request": ("req", "resp"),
    "process_resource": ("req", "resp", "resource", "params"),
    "process_response": ("req", "resp", "resource", "req_succeeded"),
    "process_request_ws": ("req", "ws"),
    "process_resource_ws": ("req", "ws", "resource", "params"),
}

#: Methods of which Falcon prefers a variant with this ending.
ASYNC = "_async"


def mismatch(
    fn: Callable[..., Any], positional: Collection[str], keywords: Collection[str] = ()
) -> str:
    """Return why a call with these arguments would raise TypeError; empty: it would not.

    Args:
        fn: the function. One whose signature is not known, such as one written in C, passes.
        positional: names of the positional arguments, for counting.
        keywords: names of the keyword arguments.
    """
    try:
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return ""


def is_coroutine(fn: Callable[..., Any]) -> bool:
    """Say whether calling a function makes a coroutine, also behind partials and ``__call__``."""
    while isinstance(fn, partial):
        fn = fn.func
    if not callable(fn):
        return False
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def is_generator(fn: Callable[..., Any]) -> bool:
    """Say whether calling a function only makes a generator, whose body nothing would run."""
    while isinstance(fn, partial):
        fn = fn.func
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)


def check(contributions: Contributions, report: Report) -> None:
    """Report every contributed function that the host could not call."""
    middleware = contributions.of(Middleware)
    for owned in middleware:
        _middleware(owned, report)
    # Falcon lets such a middleware add arguments for the responder, and take some away.
    open_ended = any(hasattr(each.value.component, "process_resource") for each in middleware)
    for owned in contributions.of(Route):
        _route(owned, report, open_ended=open_ended)
    for owned in contributions.of(Authentication):
        what = f"admits of the authentication of {owned.plugin}"
        _plain(owned, "authentication-signature", what, owned.value.admits, ("req",), report)
    for owned in contributions.of(Handler):
        what = f"the handler {owned.value.name}"
        _plain(owned, "handler-signature", what, owned.value.fn, ("context", "event"), report)
    for owned in contributions.of(Check):
        what = f"the health check {owned.value.name}"
        _plain(owned, "check-signature", what, owned.value.fn, ("services",), report)
    for owned in contributions.of(ErrorFormat):
        what = f"render of the error format of {owned.value.prefix or '/'}"
        taken = ("status", "title", "detail", "code")
        _plain(owned, "error-format-signature", what, owned.value.render, taken, report)
    for owned in contributions.of(Backend):
        what = f"the factory of the {owned.value.kind} backend {owned.value.name}"
        _plain(owned, "backend-signature", what, owned.value.factory, (), report)


def _plain(
    owned: Owned[Any],
    code: str,
    what: str,
    fn: Callable[..., Any],
    positional: tuple[str, ...],
    report: Report,
) -> None:
    """Check a function that is called in a thread, with positional arguments."""
    arguments = ", ".join(positional)
    for got, fix in _faults(fn, positional):
        report.add(
            code,
            line_of(fn) if callable(fn) else owned.site,
            f"{what} could not be called",
            who=report.whose([owned.plugin]),
            expected=f"def {_name(fn)}({arguments})",
            got=got,
            fix=fix or f"let it take {arguments or 'nothing'}",
        )


def _faults(fn: Callable[..., Any], positional: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a synchronous function, and the fix where it is not the obvious."""
    if not callable(fn):
        yield f"{type(fn).__name__}, which cannot be called", "give a function"
    elif is_coroutine(fn):
        yield "a coroutine function", "write def instead of async def"
    elif is_generator(fn):
        yield "a generator function, whose body would never run", "take yield out of it"
    elif mismatch(fn, positional):
        yield shown(fn), ""


def _route(owned: Owned[Route], report: Report, *, open_ended: bool) -> None:
    route = owned.value
    for what, expected, got, fix in fields.mistakes(route.path):
        report.add(
            "route-fields",
            owned.site,
            f"the path {route.path} {what}",
            who=report.whose([owned.plugin]),
            expected=expected,
            got=got,
            fix=fix,
        )
    if isinstance(route.resource, type):
        _is_class(owned, f"the resource of {route.path}", route.resource, report)
        return
    named = fields.of(route.path)
    for method, name in responders(route).items():
        responder = getattr(route.resource, name)
        first = ("req", "ws") if method == "WEBSOCKET" else ("req", "resp")
        shape = f"def {name}({', '.join(('self', *first, *named))})"
        for got, fix in _responder_faults(responder, method, first, named, open_ended=open_ended):
            report.add(
                "responder-signature",
                line_of(responder),
                f"{name} of {type(route.resource).__name__} could not answer {route.path}",
                who=report.whose([owned.plugin]),
                expected=f"async {shape}" if method == "WEBSOCKET" else shape,
                got=got,
                fix=fix,
            )


def _responder_faults(
    responder: Callable[..., Any],
    method: str,
    first: tuple[str, ...],
    named: dict[str, fields.Field],
    *,
    open_ended: bool,
) -> Iterator[tuple[str, str]]:
    if is_generator(responder):
        yield "a generator function, whose body would never run", "set resp.stream to the generator"
        return
    if method == "WEBSOCKET" and not is_coroutine(responder):
        yield "a synchronous function", "write async def instead of def"
        return
    # The call cannot be known where a middleware changes its arguments; their number still can.
    names: Collection[str] = _own_keywords(responder, first) if open_ended else named
    if mismatch(responder, first, names):
        yield shown(responder), f"let it take {', '.join((*first, *named))}"
        return
    for name, wanted, annotation in fields.wrong_types(responder, named):
        yield (
            f"{name}: {annotation}, and the path gives {wanted}",
            f"annotate {name} with {wanted}, or choose another converter, as in {{{name}:int}}",
        )


def _own_keywords(responder: Callable[..., Any], first: tuple[str, ...]) -> list[str]:
    """Return the parameters of a responder after the first ones that can be given by name."""
    parameters = list(inspect.signature(responder, follow_wrapped=False).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in parameters[len(first) :] if each.kind in named]


def _is_class(owned: Owned[Any], what: str, given: type, report: Report) -> None:
    report.add(
        "class-not-object",
        line_of(given),
        f"{what} is a class, so its methods would be called without an object",
        who=report.whose([owned.plugin]),
        expected=f"an instance: {given.__name__}()",
        got=f"the class {given.__name__}",
        fix=f"write {given.__name__}() with the arguments that it takes",
    )


def _middleware(owned: Owned[Middleware], report: Report) -> None:
    component = owned.value.component
    if isinstance(component, type):
        _is_class(owned, f"the middleware {owned.value.name}", component, report)
        return
    found = False
    for method, positional in MIDDLEWARE.items():
        variant = getattr(component, method + ASYNC, None)
        name, function = (
            (method, getattr(component, method, None))
            if variant is None
            else (method + ASYNC, variant)
        )
        if function is None:
            continue
        found = True
        if callable(function) and not is_coroutine(function):
            got, fix = "a synchronous function", "write async def instead of def"
        elif not callable(function) or mismatch(function, positional):
            got, fix = shown(function), f"let it take {', '.join(positional)}"
        else:
            continue
        report.add(
            "middleware-signature",
            line_of(function) if callable(function) else owned.site,
            f"{name} of the middleware {owned.value.name} could not be called",
            who=report.whose([owned.plugin]),
            expected=f"async def {name}({', '.join(('self', *positional))})",
            got=got,
            fix=fix,
        )
    if not found:
        report.add(
            "middleware-signature",
            owned.site,
            f"the middleware {owned.value.name} has no method that Falcon calls",
            who=report.whose([owned.plugin]),
            expected=f"one of {', '.join(MIDDLEWARE)}",
            got=type(component).__name__,
            fix="add a method, or take the middleware out",
        )


def _name(fn: Any) -> str:
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__name__", type(fn).__name__)


def shown(fn: Any) -> str:
    """Return a function's name and signature as a line of code."""
    if not callable(fn):
        return f"{type(fn).__name__}, which cannot be called"
    signature = inspect.signature(fn, follow_wrapped=False)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    if inspect.ismethod(fn):
        bare.insert(0, inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY))
    text = str(inspect.Signature(bare)).replace("(self, /", "(self")
    return f"{'async def' if is_coroutine(fn) else 'def'} {_name(fn)}{text}"
