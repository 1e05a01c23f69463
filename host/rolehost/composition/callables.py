"""Checks that the host can call the contributed functions.

``_mismatch`` binds the arguments of the host's call to the signature of the function. If a
decorator replaced a function, the replacement is checked, because the host calls the replacement.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Authentication,
    Backend,
    Check,
    ErrorFormat,
    Middleware,
    Route,
)
from rolehost.api.handlers import Handler
from rolehost.api.services import JobContext, Services
from rolehost.composition.locations import line_of
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
from rolehost.composition.routes import Field, fields_of, responders, wrong_types
from rolehost.delivery import arguments

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

#: What the host got instead of a function that it can call, and the fix.
_Fault = tuple[str, str]


def _mismatch(
    fn: Callable[..., Any], positional: Collection[str], keywords: Collection[str] = ()
) -> bool:
    try:
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return False  # unknown signature, for example a function in C
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        return True
    return False


def _is_coroutine(fn: Any) -> bool:
    """Return whether a call makes a coroutine, also for partials and objects with ``__call__``."""
    fn = _without_partial(fn)
    return callable(fn) and (
        inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)
    )


def _is_generator(fn: Any) -> bool:
    """Return whether calling a function only makes a generator, so that its body does not run."""
    fn = _without_partial(fn)
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)


def check(contributions: Contributions, problems: Problems) -> None:
    """Report every contributed function that the host could not call."""
    middleware = contributions.of(Middleware)
    for owned in middleware:
        _check_middleware(owned, problems)
    # process_resource may add and remove arguments of the responder.
    open_ended = any(hasattr(each.value.component, "process_resource") for each in middleware)
    for owned in contributions.of(Route):
        _check_route(owned, problems, open_ended=open_ended)
    for owned, code, subject, fn, positional in _plain_functions(contributions):
        is_async = isinstance(owned.value, Handler) and owned.value.is_async
        if fault := _fault(fn, positional, coroutine=is_async):
            expected = f"def {_name(fn)}({', '.join(positional)})"
            _cannot_call(owned, code, subject, fn, expected, fault, problems)
    for owned in contributions.of(Actor):
        _check_actor(owned, problems)


def _plain_functions(
    contributions: Contributions,
) -> Iterator[tuple[Owned[Any], str, str, Any, tuple[str, ...]]]:
    """Yield functions with fixed arguments: owner, code, subject, function, arguments."""
    for owned in contributions.of(Authentication):
        subject = f"admits of the authentication of {owned.plugin}"
        yield owned, "authentication-signature", subject, owned.value.admits, ("req",)
    for owned in contributions.of(Handler):
        subject = f"the handler {owned.value.name}"
        yield owned, "handler-signature", subject, owned.value.fn, ("context", "event")
    for owned in contributions.of(Check):
        subject = f"the health check {owned.value.name}"
        yield owned, "check-signature", subject, owned.value.fn, ("services",)
    for owned in contributions.of(ErrorFormat):
        subject = f"render of the error format of {owned.value.prefix or '/'}"
        taken = ("status", "title", "detail", "code")
        yield owned, "error-format-signature", subject, owned.value.render, taken
    for owned in contributions.of(Backend):
        subject = f"the factory of the {owned.value.kind} backend {owned.value.name}"
        yield owned, "backend-signature", subject, owned.value.factory, ()


def _cannot_call(
    owned: Owned[Any],
    code: str,
    subject: str,
    fn: Any,
    expected: str,
    fault: _Fault,
    problems: Problems,
) -> None:
    where = line_of(fn) if callable(fn) else owned.location
    words = {"subject": subject, "expected": expected, "got": fault[0], "fix": fault[1]}
    problems.about(owned, "signature", code=code, where=where, **words)


def _fault(fn: Any, positional: tuple[str, ...], *, coroutine: bool = False) -> _Fault | None:
    if not callable(fn):
        return f"{type(fn).__name__}, which cannot be called", "use a function"
    if fault := _async_fault(fn, coroutine=coroutine):
        return fault
    if _mismatch(fn, positional):
        names = ", ".join(positional)
        return _signature_line(fn), f"use the parameters {names}" if names else "use no parameters"
    return None


def _async_fault(fn: Callable[..., Any], *, coroutine: bool = False) -> _Fault | None:
    if _is_generator(fn):
        return "a generator function, whose body would not run", "remove yield"
    if _is_coroutine(fn) == coroutine:
        return None
    if coroutine:
        return "a synchronous function", "write async def instead of def"
    return "a coroutine function", "write def instead of async def"


def _check_route(owned: Owned[Route], problems: Problems, *, open_ended: bool) -> None:
    route = owned.value
    if isinstance(route.resource, type):
        _report_class(owned, f"the resource of {route.path}", route.resource, problems)
        return
    fields = fields_of(route.path)
    for method, name in responders(route).items():
        responder = getattr(route.resource, name)
        first = ("req", "ws") if method == "WEBSOCKET" else ("req", "resp")
        taken = dict.fromkeys(("self", *first, *(field.name for field in fields)))
        shape = f"def {name}({', '.join(taken)})"
        expected = f"async {shape}" if method == "WEBSOCKET" else shape
        subject = f"{name} of {type(route.resource).__name__} for {route.path}"
        faults = _responder_faults(responder, method, first, fields, open_ended=open_ended)
        for fault in faults:
            _cannot_call(
                owned, "responder-signature", subject, responder, expected, fault, problems
            )


def _responder_faults(
    responder: Callable[..., Any],
    method: str,
    first: tuple[str, ...],
    fields: Sequence[Field],
    *,
    open_ended: bool,
) -> Iterator[_Fault]:
    if _is_generator(responder):
        yield "a generator function, whose body would not run", "set resp.stream to the generator"
        return
    if method == "WEBSOCKET" and not _is_coroutine(responder):
        yield "a synchronous function", "write async def instead of def"
        return
    names = list(dict.fromkeys(field.name for field in fields))
    # If a middleware may add or remove arguments, only the first ones are checked.
    keywords = _own_keywords(responder, first) if open_ended else names
    if _mismatch(responder, first, keywords):
        yield _signature_line(responder), f"use the parameters {', '.join((*first, *names))}"
        return
    for name, wanted, annotation in wrong_types(responder, fields):
        yield (
            f"{name}: {annotation}, and the path gives {wanted}",
            f"annotate {name} with {wanted}, or choose another converter, as in {{{name}:int}}",
        )


def _own_keywords(responder: Callable[..., Any], first: tuple[str, ...]) -> list[str]:
    """Return the parameters of a responder that follow ``first`` and can be passed by name."""
    parameters = list(inspect.signature(responder, follow_wrapped=False).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in parameters[len(first) :] if each.kind in named]


def _report_class(owned: Owned[Any], subject: str, given: type, problems: Problems) -> None:
    values = {"where": line_of(given), "subject": subject, "name": given.__name__}
    problems.about(owned, "class-not-object", **values)


def _check_middleware(owned: Owned[Middleware], problems: Problems) -> None:
    component, middleware = owned.value.component, owned.value.name
    if isinstance(component, type):
        _report_class(owned, f"the middleware {middleware}", component, problems)
        return
    found = False
    for method, positional in MIDDLEWARE.items():
        # Falcon prefers a variant of the method that ends in _async.
        preferred = getattr(component, f"{method}_async", None)
        name = method if preferred is None else f"{method}_async"
        function = getattr(component, name, None)
        if function is None:
            continue
        found = True
        if fault := _fault(function, positional, coroutine=True):
            subject = f"{name} of the middleware {middleware}"
            shape = f"async def {name}(self, {', '.join(positional)})"
            _cannot_call(owned, "middleware-signature", subject, function, shape, fault, problems)
    if not found:
        values = {"middleware": middleware, "known": ", ".join(MIDDLEWARE)}
        problems.about(owned, "middleware-signature", type=type(component).__name__, **values)


def _check_actor(owned: Owned[Actor], problems: Problems) -> None:
    actor = owned.value
    if fault := _actor_fault(actor):
        context = "job" if actor.durable else "services"
        expected = f"def {actor.name.rpartition('.')[2]}({context}, …)"
        _cannot_call(
            owned, "actor-signature", f"the actor {actor.name}", actor.fn, expected, fault, problems
        )
        return
    try:
        arguments.check(actor)
    except TypeError as error:
        problems.about(owned, "actor-arguments", name=actor.name, error=error)


def _actor_fault(actor: Actor) -> _Fault | None:
    fn = actor.fn
    if actor.is_async and not actor.durable:
        return "a coroutine function", "write def instead of async def, or make the actor durable"
    if fault := _async_fault(fn, coroutine=actor.is_async):
        return fault
    line = f"def {getattr(fn, '__name__', 'actor')}{inspect.signature(fn)}"
    parameters = list(inspect.signature(fn).parameters.values())
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return f"*{parameters[0].name} instead of the context", "make job the first parameter"
    if not parameters or parameters[0].kind not in places:
        return line, "make job the first parameter"
    unnamed: dict[Any, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*{}",
        inspect.Parameter.VAR_KEYWORD: "**{}",
        inspect.Parameter.POSITIONAL_ONLY: "{}, which is positional-only",
    }
    for parameter in parameters[1:]:
        if text := unnamed.get(parameter.kind):
            return text.format(parameter.name), "name each argument: def f(job, name: type)"
    if _has_wrong_context(actor, parameters[0]):
        context = "JobContext" if actor.durable else "Services"
        return line, f"make the {context} the first parameter, before {parameters[0].name}"
    return None


def _has_wrong_context(actor: Actor, first: inspect.Parameter) -> bool:
    if first.annotation is first.empty:
        return False
    try:
        kind = arguments.annotation(actor, first)
    except TypeError:
        return False  # unresolved: probably imported under TYPE_CHECKING for this parameter
    context, other = (JobContext, Services) if actor.durable else (Services, JobContext)
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    for option in typing.get_args(kind) if union else (kind,):
        origin = typing.get_origin(option) or option
        if origin in (Any, object, context) or isinstance(origin, typing.TypeVar):
            return False
        # The annotation may be a protocol of the plugin, with the members that the plugin uses.
        if origin is not other and getattr(origin, "_is_protocol", False):
            return False
    return True


def _without_partial(fn: Any) -> Any:
    while isinstance(fn, partial):
        fn = fn.func
    return fn


def _name(fn: Any) -> str:
    return getattr(_without_partial(fn), "__name__", type(_without_partial(fn)).__name__)


def _signature_line(fn: Any) -> str:
    """Return a function's name and signature as a line of code."""
    signature = inspect.signature(fn, follow_wrapped=False)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    if inspect.ismethod(fn):
        bare.insert(0, inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY))
    text = str(inspect.Signature(bare)).replace("(self, /", "(self")
    return f"{'async def' if _is_coroutine(fn) else 'def'} {_name(fn)}{text}"
