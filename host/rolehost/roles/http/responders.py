"""Adapts responders to Falcon: threads for synchronous ones, and ``Idempotency-Key``."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import falcon

from rolehost.api.contributions import Route
from rolehost.api.services import Services
from rolehost.services.threads import Session, Threads

Responder = Callable[..., Any]
Adapt = Callable[[Route, str, Responder], Responder]

#: Methods whose responders may be idempotent by key.
_KEYED = frozenset({"POST", "PATCH"})

#: Longest ``Idempotency-Key``, characters.
_LONGEST_KEY = 255


def adapter(threads: Threads, session: Session, services: Services) -> Adapt:
    """Return the function that adapts responders to Falcon.

    A coroutine function stays as it is. A synchronous responder becomes a coroutine function that
    reads the body and calls the responder on a thread, inside a database session, with the
    context variables of the request. If the route is idempotent, :func:`idempotent` wraps the
    responder first.
    """

    def adapt(route: Route, method: str, responder: Responder) -> Responder:
        if inspect.iscoroutinefunction(responder):
            return responder
        if route.idempotent and method in _KEYED:
            responder = idempotent(responder, services)

        async def respond(req: Any, resp: Any, **params: Any) -> None:
            req.context.body = await req.stream.read()
            await threads.run(lambda: responder(req, resp, **params), session)

        return respond

    return adapt


def idempotent(responder: Responder, services: Any) -> Responder:
    """Make a synchronous responder honour ``Idempotency-Key``.

    A key belongs to one method and path. The fingerprint is a SHA-256 over method, path, query,
    ``Authorization`` and body, so that no client gets another client's response. If the responder
    raises an error, nothing is stored, and a repeated request calls it again.
    """

    def respond(req: Any, resp: Any, **params: Any) -> None:
        key = req.get_header("Idempotency-Key")
        if key is None:
            responder(req, resp, **params)
            return
        if not 0 < len(key) <= _LONGEST_KEY:
            raise falcon.HTTPBadRequest(
                title="Bad Idempotency-Key",
                description=f"An Idempotency-Key has 1 to {_LONGEST_KEY} characters.",
                code="bad_idempotency_key",
            )
        head = f"{req.method} {req.path}"
        credentials = req.get_header("Authorization") or ""
        digest = hashlib.sha256(f"{head}?{req.query_string}\n{credentials}\n".encode())
        digest.update(req.context.body)
        with services.request_scope(f"{head} {key}", digest.digest()) as scope:
            if scope.stored is not None:
                _repeat(resp, scope.stored)
                return
            responder(req, resp, **params)
            scope.store(*_encode(resp))

    return respond


def _repeat(resp: Any, stored: Any) -> None:
    resp.status = stored.status
    resp.set_headers(list(stored.headers.items()))
    resp.set_header("Idempotent-Replayed", "true")
    resp.data = stored.body


def _encode(resp: Any) -> tuple[int, dict[str, str], bytes]:
    """Encode a response now, so that the stored bytes are the sent bytes."""
    if resp.text is not None:
        body = resp.text.encode() if isinstance(resp.text, str) else bytes(resp.text)
    elif resp.data is not None:
        body = bytes(resp.data)
    elif resp.media is not None:
        resp.content_type = resp.content_type or resp.options.default_media_type
        handlers = resp.options.media_handlers
        handler = handlers.get(resp.content_type) or handlers[resp.content_type.split(";")[0]]
        body = handler.serialize(resp.media, resp.content_type)
    else:
        body = b""
    resp.text = None
    resp.media = None
    resp.data = body
    return resp.status_code, dict(resp.headers), body
