"""Synchronous responders: their bounded pool of threads, and idempotency by key."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import falcon

from rolehost.services.threads import Session, Threads

Responder = Callable[..., Any]

#: Methods whose responders may be idempotent by key.
KEYED = frozenset({"POST", "PATCH"})

#: Longest ``Idempotency-Key``, characters.
LONGEST_KEY = 255


class Pool:
    """The threads of synchronous responders, and the session that each is called in."""

    def __init__(self, threads: int, session: Session) -> None:
        self._threads = Threads(threads, "responder")
        self._session = session

    async def run(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread, inside a database session, with this task's contextvars.

        Raises:
            Overloaded: too many wait already.
        """
        await self._threads.run(work, self._session)

    def stuck(self, seconds: float) -> bool:
        """Say whether requests wait and no thread came free for so long; asked by one thread."""
        return self._threads.stuck(seconds)

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._threads.close()


def on_threads(responder: Responder, pool: Pool) -> Callable[..., Awaitable[None]]:
    """Make an asynchronous responder that runs a synchronous one in the pool."""

    async def respond(req: Any, resp: Any, **params: Any) -> None:
        req.context.body = await req.stream.read()
        await pool.run(lambda: responder(req, resp, **params))

    return respond


def keyed(responder: Responder, services: Any) -> Responder:
    """Make a synchronous responder honour ``Idempotency-Key``.

    The key is scoped by method and path; the fingerprint is a SHA-256 over method, path, query,
    ``Authorization`` and body, so that no client is sent what another one was answered. What the
    responder raises is not stored: a repetition runs it again.
    """

    def respond(req: Any, resp: Any, **params: Any) -> None:
        key = req.get_header("Idempotency-Key")
        if key is None:
            responder(req, resp, **params)
            return
        if not 0 < len(key) <= LONGEST_KEY:
            raise falcon.HTTPBadRequest(
                title="Bad Idempotency-Key",
                description=f"An Idempotency-Key has 1 to {LONGEST_KEY} characters.",
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
            scope.store(*_rendered(resp))

    return respond


def _repeat(resp: Any, stored: Any) -> None:
    resp.status = stored.status
    resp.set_headers(list(stored.headers.items()))
    resp.set_header("Idempotent-Replayed", "true")
    resp.data = stored.body


def _rendered(resp: Any) -> tuple[int, dict[str, str], bytes]:
    """Render a response now, so that the very bytes that are sent are the stored ones."""
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
