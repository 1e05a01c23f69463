"""Errors for clients, as problem details (RFC 9457) or in a plugin's own format."""

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

_PROBLEM_TYPE = "application/problem+json"

#: A client may try again after a second.
_RETRY_AFTER = {"Retry-After": "1"}

#: Codes for statuses that RFC 9110 renamed; older versions of Python have the old names.
_RENAMED = {
    413: "content_too_large",
    414: "uri_too_long",
    416: "range_not_satisfiable",
    422: "unprocessable_content",
}


class BodyIncomplete(Exception):
    """The client disconnected or stopped sending before its body was complete."""


class NotStarted(Exception):
    """The process waits for its backends."""


def render(scope: Scope, error: falcon.HTTPError) -> tuple[str, bytes]:
    """Return the media type and the body of an error; the request must have been matched.

    If the plugin's format or the encoding fails, the body has only type and status.
    """
    try:
        return _render(scope, error)
    except Exception as failure:
        log.error(
            "an error cannot be rendered",
            path=scope["path"],
            error=f"{type(failure).__name__}: {failure}",
        )
        problem = {"type": "about:blank", "status": error.status_code}
        return _PROBLEM_TYPE, msgspec.json.encode(problem)


def _render(scope: Scope, error: falcon.HTTPError) -> tuple[str, bytes]:
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
    return _PROBLEM_TYPE, msgspec.json.encode(problem, enc_hook=str)


def _code_of(error: falcon.HTTPError) -> str:
    """Return the default code of an error: the name of its status in snake case."""
    if isinstance(error, falcon.MediaMalformedError):
        return "malformed_json"
    if error.status_code in _RENAMED:
        return _RENAMED[error.status_code]
    try:
        return HTTPStatus(error.status_code).name.lower()
    except ValueError:
        return f"status_{error.status_code}"


def _serialize(req: falcon.asgi.Request, resp: falcon.Response, error: Any) -> None:
    resp.content_type, resp.data = render(req.scope, error)


def _title(error: falcon.HTTPError) -> str:
    """Return the title without its leading status number (Falcon's default)."""
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


def _response(
    status: int, title: str, description: str, code: Any, headers: dict[str, str] | None = None
) -> Callable[[], falcon.HTTPError]:
    return lambda: falcon.HTTPError(
        status, title=title, description=description, headers=headers, code=code
    )


def _unavailable(description: str) -> Callable[[], falcon.HTTPError]:
    return _response(503, "Unavailable", description, "unavailable", _RETRY_AFTER)


#: Type of an error of the host → function that makes the error for the client.
ERROR_RESPONSES: dict[type[Exception], Callable[[], falcon.HTTPError]] = {
    StorageUnavailable: _unavailable("A storage that this request needs is not available."),
    Overloaded: _unavailable("Too many requests are waiting for a thread."),
    NotStarted: _unavailable("The service is waiting for a backend."),
    ValueRefused: _response(
        422,
        "Value refused",
        "The request has a value that cannot be stored or searched for, for example a"
        " text with NUL (U+0000) or a number out of range.",
        "value_refused",
    ),
    IdempotencyConflict: _response(
        422,
        "Idempotency key used before",
        "This Idempotency-Key was used before with another request.",
        "idempotency_conflict",
    ),
    IdempotencyInProgress: _response(
        409,
        "Request in progress",
        "A request with this Idempotency-Key is being handled.",
        "idempotency_in_progress",
        _RETRY_AFTER,
    ),
    BodyIncomplete: _response(
        408, "Request Timeout", "The body did not arrive in time.", None, {"Connection": "close"}
    ),
}

#: Messages of the log lines, at level ``warning``; the other ERROR_RESPONSES are not logged.
_LOGGED: dict[type[Exception], str] = {
    StorageUnavailable: "storage is unavailable",
    ValueRefused: "the database refused a value",
}


def _handler(kind: type[Exception]) -> Callable[..., Awaitable[None]]:
    async def handle(req: falcon.asgi.Request, _resp: Any, error: Exception, _params: Any) -> None:
        if kind in _LOGGED:
            log.warning(_LOGGED[kind], method=req.method, path=req.path, error=str(error))
        raise ERROR_RESPONSES[kind]()

    return handle


def install(app: falcon.asgi.App[Any, Any]) -> None:
    """Make an application render every error with :func:`render`."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unhandled)
    for kind in ERROR_RESPONSES:
        app.add_error_handler(kind, _handler(kind))
