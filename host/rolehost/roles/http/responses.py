"""The final check of a response, and the end of event streams (SSE)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import falcon
import falcon.asgi
import structlog

from rolehost.composition.locations import line_of

log = structlog.get_logger(__name__)

#: Media type of server-sent events.
EVENT_STREAM = "text/event-stream"


class EventStreams:
    """The event streams of one process, which end when the process drains."""

    def __init__(self) -> None:
        self._ends = asyncio.Event()

    def end(self) -> None:
        """End all event streams, including those that begin later. Call it on the event loop."""
        self._ends.set()

    async def until_drain(self, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the events of an iterator until it ends or the process drains.

        A generator that waits for its next event is cancelled, so that its ``finally`` runs. The
        client gets a complete response, and reconnects to another process.
        """
        context = copy_context()
        iterator = aiter(events)
        ends = asyncio.ensure_future(self._ends.wait())
        try:
            while not self._ends.is_set():
                step = asyncio.create_task(_next(iterator), context=context)
                await asyncio.wait((step, ends), return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    step.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration):
                        await step
                    return
                try:
                    event = step.result()
                except StopAsyncIteration:
                    return
                yield event
        finally:
            ends.cancel()
            if hasattr(iterator, "aclose"):
                await iterator.aclose()


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator)


class ResponseCheck:
    """The outermost Falcon middleware, which sees each response last.

    If a response cannot be encoded, the client gets problem details with status 500, and one log
    line names the responder. Falcon itself would send an empty body, or nothing.
    """

    def __init__(self, streams: EventStreams) -> None:
        self._streams = streams

    async def process_response(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        resource: object,
        req_succeeded: bool,  # noqa: ARG002
    ) -> None:
        """Encode the response. Falcon caches the encoded ``resp.media``, so this costs nothing."""
        try:
            data = await resp.render_body()
            if data is not None and not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"the body is {type(data).__name__}, not bytes")
            if resp.status_code < 200:
                raise ValueError(f"the status {resp.status} cannot end a response")
            _check_headers(resp)
        except Exception as error:
            _clear(resp)
            log.error(
                "a response cannot be encoded",
                responder=_responder_name(req, resource),
                error=f"{type(error).__name__}: {error}",
            )
            raise falcon.HTTPInternalServerError(
                title="Internal Server Error", code="unencodable_answer"
            ) from None
        if resp.sse is not None:
            resp.sse = self._streams.until_drain(resp.sse)
        elif resp.stream is not None and (resp.content_type or "").startswith(EVENT_STREAM):
            stream: Any = resp.stream
            if hasattr(stream, "__aiter__"):
                resp.stream = self._streams.until_drain(stream)


def _check_headers(resp: falcon.asgi.Response) -> None:
    """Raise ValueError if a header cannot be sent. PERF: fast for printable ASCII."""
    if resp._extra_headers is None and resp._cookies is None:
        for value in resp._headers.values():
            if not (value.isascii() and value.isprintable()):
                break
        else:
            return
    encoded: Any = resp._asgi_headers()
    for name, value in encoded:
        if any(byte < 32 and byte != 9 for byte in value):
            raise ValueError(f"the header {name.decode('latin-1')} holds a control character")


def _clear(resp: falcon.asgi.Response) -> None:
    """Clear a response, so that an error can be sent instead."""
    resp.text = resp.data = resp.media = resp.stream = resp.sse = None
    resp._headers.clear()
    resp._extra_headers = resp._cookies = None
    resp.status = falcon.HTTP_500


def _responder_name(req: falcon.asgi.Request, resource: object) -> str:
    """Return the responder of a request and its source location, for the log."""
    template = getattr(req, "uri_template", None) or req.path
    if resource is None:
        return f"{req.method} {template}"
    names = [name for name in dir(resource) if name.startswith(f"on_{req.method.lower()}")]
    where = line_of(getattr(resource, names[0])) if names else line_of(type(resource))
    return f"{req.method} {template}: {type(resource).__name__} at {where}"
