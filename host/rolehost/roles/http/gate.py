"""The one wrapper around Falcon: body limits, and what is told of every request.

PERF: everything here runs once for each request, so it is a plain function that hands back
Falcon's own coroutine where nothing else is asked for, and no Falcon middleware.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from os import urandom
from time import perf_counter
from typing import Any

import falcon
from structlog.contextvars import bind_contextvars

from rolehost.delivery.failures import without_ending
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.problems import late_body, render
from rolehost.roles.http.requests import REFUSED, RULES, Receive, too_large

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Types of ASGI scopes that have a path.
_ROUTED = frozenset({"http", "websocket"})

#: Methods that come without a body as a rule; one that comes is bounded when it is read.
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: What a client may choose as ``X-Request-Id``: visible ASCII.
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

#: Seconds and bytes for which a refused body is still taken and thrown away, so that a client
#: that sends before it reads finds the answer instead of a reset connection.
LINGER_SECONDS = 2.0
LINGER_BYTES = 8_388_608

#: Status that is told of a request whose client left before the answer (nginx's number).
CLIENT_LEFT = 499


class BodyLimit:
    """Refuses bodies whose declared length is too large, before anything of them is read.

    Args:
        smallest: the smallest limit of any route; bodies up to it need no look at the route.
    """

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest

    def refusal(self, scope: Scope) -> falcon.HTTPError | None:
        """Return the error for a request whose declared body is too large, else None."""
        for name, value in scope["headers"]:
            if name == b"content-length":
                # The server has checked that these are digits.
                length = int(value)
                if length > self.smallest:
                    limit = scope[RULES].max_body
                    if length > limit:
                        return too_large(scope, limit)
                break
        return None

    async def answer(self, error: falcon.HTTPError, scope: Scope, send: Send) -> None:
        """Answer with the error, without Falcon, and announce the connection's end."""
        media_type, body = render(scope, error)
        headers = [
            (b"content-type", media_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": error.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def linger(receive: Receive) -> None:
    """Take and drop what a client still sends of a body that was refused."""
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                event = await receive()
                if event["type"] == "http.disconnect" or not event.get("more_body"):
                    return
                left -= len(event.get("body", b""))


def matched(app: Asgi, match: Callable[[Scope], None]) -> Asgi:
    """Wrap an application so that the route is decided before anything reads the path.

    Args:
        app: what to wrap.
        match: leaves the route in the scope; :meth:`rolehost.roles.http.routes.Router.match`.
    """

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in _ROUTED:
            match(scope)
        return app(scope, receive, send)

    return call


def surviving(app: Asgi) -> Asgi:
    """Wrap an application so that code that it calls cannot end the process by ``sys.exit``.

    The server answers 500, or cuts the answer off if it has begun.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except (SystemExit, BaseExceptionGroup) as error:
            if isinstance(error, Exception):
                raise
            raise without_ending(error) from error

    return call


def limited(app: Asgi, limit: BodyLimit) -> Asgi:
    """Wrap an application with the body limit and nothing else."""

    async def with_body(scope: Scope, receive: Receive, send: Send) -> None:
        error = limit.refusal(scope)
        if error is not None:
            await limit.answer(error, scope, send)
            await linger(receive)
            return
        answered = False

        def sending(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal answered
            answered = True
            return send(message)

        await app(scope, receive, sending)
        if not answered:
            # Falcon answers nothing when the body did not even begin to come.
            await limit.answer(late_body(), scope, send)
        elif REFUSED in scope:
            await linger(receive)

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] in BODILESS:
            return app(scope, receive, send)
        return with_body(scope, receive, send)

    return call


def observed(
    app: Asgi,
    *,
    identify: bool,
    write: Callable[[dict[str, Any]], None] | None,
    recorders: Recorders | None,
) -> Asgi:
    """Wrap an application with request ids, the access log and recorders, as asked for.

    Args:
        app: what to wrap; its router tells the template.
        identify: take or make ``X-Request-Id``, bind it as ``request_id``, send it back.
        write: writes one line for each request; None writes nothing.
        recorders: told of each request; None tells nobody.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = perf_counter()
        status = CLIENT_LEFT
        identity = b""
        if identify:
            identity = _request_id(scope)
            bind_contextvars(request_id=identity.decode("ascii"))

        def sending(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if identify:
                    message["headers"].append((b"x-request-id", identity))
            return send(message)

        try:
            await app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            seconds = perf_counter() - started
            method = scope["method"]
            template = scope[RULES].template
            if recorders is not None:
                recorders.request(method, template, status, seconds)
            if write is not None:
                client = scope["client"]
                write(
                    {
                        "method": method,
                        "path": scope["path"],
                        "route": template,
                        "status": status,
                        "seconds": round(seconds, 6),
                        "client": client[0] if client else "",
                    }
                )

    return call


def _request_id(scope: Scope) -> bytes:
    """Return the client's request id when it is fit to be one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _REQUEST_ID.fullmatch(value):
                return bytes(value)
            break
    return urandom(16).hex().encode("ascii")
