"""The size limit of request bodies, with or without Content-Length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi.stream import BoundedStream

from rolehost.roles.http.problems import ERROR_RESPONSES, BodyIncomplete, render
from rolehost.roles.http.scope import RULES, Asgi, Receive, Scope, Send

#: The most seconds and bytes for which a refused body is read and dropped (lingering close).
#: Otherwise a client that sends its whole body before it reads would get a connection reset.
LINGER_SECONDS = 2.0
LINGER_BYTES = 8_388_608

#: Key of the scope: the body was refused while the client was still sending it.
_REFUSED = "rolehost.refused"


class Request(falcon.asgi.Request):
    """Falcon's request with a limit on the body, set by the route.

    Only a body that arrives in parts is counted here. :func:`call_within_limit` checks a declared
    length, and the server reads no more than that.
    """

    @property
    def stream(self) -> BoundedStream:  # type: ignore[override]
        """The body; reading it raises BodyIncomplete if the client disconnects."""
        if self._stream is None:
            first = self._first_event or {}
            receive = self._receive
            if first.get("more_body"):
                receive = _limit_receive(receive, self.scope, len(first.get("body", b"")))
            self._stream = BoundedStream(
                receive, first_event=self._first_event, content_length=self.content_length
            )
        return self._stream


def _limit_receive(receive: Receive, scope: Scope, taken: int) -> Receive:
    limit = scope[RULES].max_body
    if taken > limit:
        raise _too_large_error(scope, limit)

    async def receive_bounded() -> Mapping[str, Any]:
        nonlocal taken
        event = await receive()
        if event["type"] == "http.disconnect":
            raise BodyIncomplete
        taken += len(event.get("body", b""))
        if taken > limit:
            raise _too_large_error(scope, limit)
        return event

    return receive_bounded


async def call_within_limit(
    app: Asgi, smallest: int, scope: Scope, receive: Receive, send: Send
) -> None:
    """Call an application with a matched request, unless the body is too large.

    ``smallest`` is the smallest limit of any route, bytes; a body up to it needs no further check.
    """
    error = _length_error(scope, smallest)
    if error is not None:
        await _send_error(error, scope, send)
        await _linger(receive)
        return
    answered = False

    def send_and_note(message: dict[str, Any]) -> Awaitable[None]:
        nonlocal answered
        answered = True
        return send(message)

    await app(scope, receive, send_and_note)
    if not answered:
        # Falcon sends no response if no part of the body arrived.
        await _send_error(ERROR_RESPONSES[BodyIncomplete](), scope, send)
    elif _REFUSED in scope:
        await _linger(receive)


def _length_error(scope: Scope, smallest: int) -> falcon.HTTPError | None:
    """Return the error for a declared length above the limit; None if it is allowed."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value)  # the server has checked that these are digits
            if length > smallest and length > (limit := scope[RULES].max_body):
                return _too_large_error(scope, limit)
            break
    return None


def _too_large_error(scope: Scope, limit: int) -> falcon.HTTPContentTooLarge:
    scope[_REFUSED] = True
    return falcon.HTTPContentTooLarge(
        title="Body too large",
        description=f"The body is larger than the {limit} bytes allowed here.",
        headers={"Connection": "close"},
    )


async def _send_error(error: falcon.HTTPError, scope: Scope, send: Send) -> None:
    """Send the error without Falcon, with ``Connection: close``."""
    media_type, body = render(scope, error)
    headers = [
        (b"content-type", media_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _linger(receive: Receive) -> None:
    """Read and drop the rest of a refused body."""
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                event = await receive()
                if event["type"] == "http.disconnect" or not event.get("more_body"):
                    return
                left -= len(event.get("body", b""))
