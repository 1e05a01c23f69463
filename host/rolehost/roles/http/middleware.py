"""The ASGI middleware around Falcon, which every request passes.

PERF: it runs for each request. So it is one class instead of several Falcon middleware components,
and awaits nothing that the settings do not require.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from os import urandom
from time import perf_counter
from typing import Any

from structlog.contextvars import bind_contextvars

from rolehost.deployment.model import HttpSettings
from rolehost.failures import as_runtime_error
from rolehost.observe import logs
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.body import call_within_limit
from rolehost.roles.http.routes import Router
from rolehost.roles.http.scope import RULES, Asgi, Receive, Scope, Send

#: Methods that normally have no body; if there is one, it is counted while it is read.
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: Values that a client may send as ``X-Request-Id``: visible ASCII.
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

#: Status that is recorded if the client disconnects before the response (as nginx does).
_CLIENT_CLOSED_REQUEST = 499


class HostMiddleware:
    """An ASGI application that wraps another one. For each request it does, in this order:

    1. match the route, before anything else reads the path;
    2. take or make ``X-Request-Id``, bind it as ``request_id`` and send it back;
    3. log and record the request when it is answered;
    4. turn an exception that would end the process, for example ``SystemExit``, into a 500;
    5. refuse a body that is too large.

    If ``recorders`` is empty now, recorders that are added later are not used.
    """

    def __init__(self, app: Asgi, router: Router, http: HttpSettings, recorders: Recorders) -> None:
        self._app = app
        self._match = router.match
        self._smallest = router.smallest_body
        self._identify = http.request_id
        self._write = logs.fast_logger("info", "request") if http.access_log else None
        self._recorders = recorders if recorders else None
        self._observes = bool(self._identify or self._write or self._recorders)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request; see ASGI."""
        http = scope["type"] == "http"
        if http or scope["type"] == "websocket":
            self._match(scope)
        if http and self._observes:
            return self._call_observed(scope, receive, send)
        return self._call_guarded(scope, receive, send)

    async def _call_observed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = _CLIENT_CLOSED_REQUEST
        identity = b""
        if self._identify:
            identity = _request_id(scope)
            bind_contextvars(request_id=identity.decode("ascii"))

        def send_observed(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if identity:
                    message["headers"].append((b"x-request-id", identity))
            return send(message)

        try:
            await self._call_guarded(scope, receive, send_observed)
        except Exception:
            status = 500
            raise
        finally:
            self._record(scope, status, perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"]
        template = scope[RULES].template
        if self._recorders is not None:
            self._recorders.request(method, template, status, seconds)
        if self._write is not None:
            client = scope["client"]
            self._write(
                {
                    "method": method,
                    "path": scope["path"],
                    "route": template,
                    "status": status,
                    "seconds": round(seconds, 6),
                    "client": client[0] if client else "",
                }
            )

    async def _call_guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] != "http" or scope["method"] in _BODILESS:
                await self._app(scope, receive, send)
            else:
                await call_within_limit(self._app, self._smallest, scope, receive, send)
        except (SystemExit, BaseExceptionGroup) as error:
            if isinstance(error, Exception):
                raise
            # The server answers 500, or closes the connection if the response has begun.
            raise as_runtime_error(error) from error


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _REQUEST_ID.fullmatch(value):
                return bytes(value)
            break
    return urandom(16).hex().encode("ascii")
