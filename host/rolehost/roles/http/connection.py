"""A client's connection, which is closed if the client sends or reads too slowly (Slowloris).

gunicorn's protocol has no time limit for the head of a connection's first request, for a body
that arrives byte by byte, or for a client that does not read its response. :class:`Connection` has
these limits, at no cost per request: the worker checks all connections once a second
(:meth:`Connection.check`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]

from rolehost.deployment.model import HttpSettings

#: Close code of a WebSocket when the server ends (RFC 6455, section 7.4.1).
GOING_AWAY = 1001

#: Bytes that a client must read within ``write_timeout`` while more wait, so that a client that
#: reads very slowly does not keep responses in memory. With 30 s this is 0.5 kB/s.
LEAST_BYTES_TAKEN = 16_384

#: Phases of a connection: idle between requests, receiving a head or a body, or answering.
IDLE, HEAD, BODY, BUSY = "idle", "head", "body", "busy"


class WriteProgress:
    """Measures whether a client reads: the size of the write buffer must shrink.

    If a client does not read, a streamed response makes the buffer grow.
    """

    __slots__ = ("_began", "_last", "_taken")

    def __init__(self) -> None:
        self._began: float | None = None
        self._last = 0
        self._taken = 0

    def reset(self) -> None:
        """Record that the buffer fell below its low-water mark."""
        self._began = None

    def stalled(self, waiting: int, now: float, timeout: float) -> bool:
        """Return True if the client took too few of the ``waiting`` bytes for ``timeout`` s."""
        if not waiting:
            self._began = None
            return False
        if self._began is None:
            self._began, self._taken = now, 0
        else:
            self._taken += max(self._last - waiting, 0)
            if self._taken >= LEAST_BYTES_TAKEN:
                self._began, self._taken = now, 0
        self._last = waiting
        return now - self._began > timeout


class Connection(ASGIProtocol):  # type: ignore[misc]
    """A client's connection; the only code that uses private names of gunicorn's protocol."""

    worker: Any

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        # gunicorn's own setting has whole seconds only.
        self._keepalive = worker.lifecycle.http.keep_alive
        self._decided_for = 0
        self._closes = False
        self._progress = WriteProgress()

    def connection_made(self, transport: Any) -> None:
        """Begin; asyncio calls it."""
        self.phase = (0, HEAD)
        self.since = self.worker.loop.time()
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End; asyncio calls it."""
        super().connection_lost(error)
        self.worker.forget(self)

    def resume_writing(self) -> None:
        """Let the application write again; asyncio calls it when the client took enough."""
        self._progress.reset()
        super().resume_writing()

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        # gunicorn calls this at the head and at the end of a response. Both results must be the
        # same, even if the worker begins to retire in between.
        if self._decided_for != self.req_count:
            self._decided_for = self.req_count
            self._closes = self.worker.closes_after_response
        return self._closes or bool(super()._will_close(request, response_requires_close))

    def _phase(self) -> str:
        if self._websocket is not None:
            return BUSY
        if self._current_request is None:
            return HEAD if self.req_count <= 1 else IDLE
        receiver = self._body_receiver
        return BODY if receiver is not None and not receiver._complete else BUSY

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self._phase() in (BODY, BUSY)

    def check(self, now: float, http: HttpSettings) -> None:
        """Disconnect the client if it sends or reads too slowly; ``now``: the event loop's time."""
        waiting = self.transport.get_write_buffer_size()
        if self._progress.stalled(waiting, now, http.write_timeout):
            self.log.warning(
                "a client was disconnected: it did not read its response for %g s, and %d bytes"
                " were left",
                http.write_timeout,
                waiting,
            )
            self._reset()
            return
        phase = (self.req_count, self._phase())
        # The time limit of the first head runs from the start of the connection, although
        # req_count changes.
        if phase != self.phase and not (phase[1] == self.phase[1] == HEAD):
            self.since = now
        self.phase = phase
        late = now - self.since
        if phase[1] == HEAD and late > http.head_timeout:
            self._send_error_response(408, "The request did not arrive in time.")
            self.hang_up()
        elif phase[1] == BODY and late > http.body_timeout:
            # The application sees a disconnect; the client gets 408.
            self._body_receiver._body_wait_expired = True
            self._body_receiver._wake_waiter()

    def _reset(self) -> None:
        """Close with a TCP reset, which drops unsent bytes here and in the kernel."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def hang_up(self) -> None:
        """Close the connection now."""
        self._close_transport()
        if self._request_ready is not None:
            self._request_ready.set()

    def hang_up_when_idle(self) -> None:
        """Close, unless a request is being answered or has begun to arrive."""
        buffered = getattr(self._callback_parser, "_buffer", b"")
        if self._phase() in (IDLE, HEAD) and not buffered:
            self.hang_up()

    def close_websocket(self) -> None:
        """If this is an open WebSocket, close it (code 1001), because the process ends."""
        websocket = self._websocket
        if websocket is not None and websocket.accepted and not websocket.closed:
            self._closing: asyncio.Task[None] = self.worker.loop.create_task(_close(websocket))


async def _close(websocket: Any) -> None:
    with suppress(Exception):  # the client may close it at this moment
        await websocket._send_close(GOING_AWAY, "the server is going away")
    message = {"type": "websocket.disconnect", "code": GOING_AWAY, "reason": ""}
    await websocket._receive_queue.put(message)
