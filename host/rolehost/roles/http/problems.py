"""Errors as clients see them: problem details (RFC 9457) or a plugin's own format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import falcon
import falcon.asgi
import msgspec
import structlog
from structlog.contextvars import get_contextvars

from rolehost.api.http import Invalid
from rolehost.errors import (
    IdempotencyConflict,
    IdempotencyInProgress,
    Overloaded,
    StorageUnavailable,
    ValueRefused,
)
from rolehost.roles.http.scope import RULES, Scope

log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"

#: Seconds after which a client may try again, when the host is short of something.
RETRY_AFTER = "1"

#: Codes of statuses whose names changed between versions of Python (RFC 9110 renamed them).
_RENAMED = {
    413: "content_too_large",
    414: "uri_too_long",
    416: "range_not_satisfiable",
    422: "unprocessable_content",
}


class BodyIncomplete(Exception):
    """The client left, or stopped sending, before its body was complete."""


def render(scope: Scope, error: falcon.HTTPError) -> tuple[str, bytes]:
    """Return the media type and the body of an error.

    Args:
        scope: the ASGI scope of the request, for which the router has decided.
        error: the error.

    Returns:
        If the error cannot be shown, or its format fails: a problem without details.
    """
    try:
        return _rendered(scope, error)
    except Exception as failure:
        log.error(
            "an error cannot be rendered",
            path=scope["path"],
            error=f"{type(failure).__name__}: {failure}",
        )
        problem = {"type": "about:blank", "status": error.status_code}
        return PROBLEM_TYPE, msgspec.json.encode(problem)


def _rendered(scope: Scope, error: falcon.HTTPError) -> tuple[str, bytes]:
    status = error.status_code
    code = str(error.code) if error.code is not None else _code_of(error)
    title = _title(error)
    own_format = scope[RULES].render
    if own_format is not None:
        detail: Any = error.errors if isinstance(error, Invalid) else error.description
        media_type, body = own_format(status, title, detail or title, code)
        return media_type, body
    problem: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if error.description:
        problem["detail"] = error.description
    problem["code"] = code
    identity = get_contextvars().get("request_id")
    if identity:
        problem["instance"] = quote(identity, safe="-._~")
    if isinstance(error, Invalid):
        problem["errors"] = error.errors
    return PROBLEM_TYPE, msgspec.json.encode(problem, enc_hook=str)


def _code_of(error: falcon.HTTPError) -> str:
    """Return the stable name, in snake case, of an error that names none itself."""
    if isinstance(error, falcon.MediaMalformedError):
        return "malformed_json"
    if error.status_code in _RENAMED:
        return _RENAMED[error.status_code]
    try:
        return HTTPStatus(error.status_code).name.lower()
    except ValueError:
        return f"status_{error.status_code}"


def unavailable(description: str) -> falcon.HTTPServiceUnavailable:
    """Make a 503 that asks the client to come again soon."""
    return falcon.HTTPServiceUnavailable(
        title="Unavailable",
        description=description,
        retry_after=int(RETRY_AFTER),
        code="unavailable",
    )


def late_body() -> falcon.HTTPError:
    """Make the 408 for a body that did not come."""
    return falcon.HTTPError(
        falcon.HTTP_408,
        title="Request Timeout",
        description="The body did not arrive in time.",
        headers={"Connection": "close"},
    )


def _serialize(req: falcon.asgi.Request, resp: falcon.Response, error: Any) -> None:
    """Falcon's error serializer."""
    resp.content_type, resp.data = render(req.scope, error)


def _title(error: falcon.HTTPError) -> str:
    """Return the title without the number that Falcon's default puts before it."""
    head, _, rest = error.title.partition(" ")
    return rest if rest and head == str(error.status_code) else error.title


async def _unhandled(
    req: falcon.asgi.Request, _resp: Any, error: Exception, _params: Any, ws: Any = None
) -> None:
    log.error("a responder failed", method=req.method, path=req.path, exc_info=error)
    if ws is not None:
        await ws.close(1011)
        return
    raise falcon.HTTPInternalServerError(title="Internal Server Error")


def _value_refused() -> falcon.HTTPError:
    return falcon.HTTPUnprocessableEntity(
        title="Value refused",
        description="The request has a value that cannot be stored or looked for, such as a text"
        " with NUL (U+0000) or a number out of range.",
        code="value_refused",
    )


def _conflict() -> falcon.HTTPError:
    return falcon.HTTPUnprocessableEntity(
        title="Idempotency key used before",
        description="This Idempotency-Key was used before with another request.",
        code="idempotency_conflict",
    )


def _in_progress() -> falcon.HTTPError:
    return falcon.HTTPConflict(
        title="Request in progress",
        description="A request with this Idempotency-Key is being handled at this moment.",
        headers={"Retry-After": RETRY_AFTER},
        code="idempotency_in_progress",
    )


#: Errors of the host that a responder may raise, with the answer to each.
_ANSWERS: dict[type[Exception], Callable[[], falcon.HTTPError]] = {
    StorageUnavailable: lambda: unavailable("A storage that this needs is not available for now."),
    ValueRefused: _value_refused,
    Overloaded: lambda: unavailable("Too many requests wait for a thread."),
    IdempotencyConflict: _conflict,
    IdempotencyInProgress: _in_progress,
    BodyIncomplete: late_body,
}

#: Those of them that are logged, with the message.
_LOGGED = {
    StorageUnavailable: "storage is unavailable",
    ValueRefused: "the database refused a value",
}


def _handler(kind: type[Exception]) -> Callable[..., Awaitable[None]]:
    async def handle(req: falcon.asgi.Request, _resp: Any, error: Exception, _params: Any) -> None:
        if kind in _LOGGED:
            log.warning(_LOGGED[kind], method=req.method, path=req.path, error=str(error))
        raise _ANSWERS[kind]()

    return handle


def install(app: falcon.asgi.App[Any, Any]) -> None:
    """Make an application answer every error with :func:`render`."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unhandled)
    for kind in _ANSWERS:
        app.add_error_handler(kind, _handler(kind))
