"""gunicorn's asgi worker, drained in our order, and its connections with bounded patience.

gunicorn 27's asgi worker looks once a second whether it must stop, waits for idle connections
as long as for busy ones, and never times out the head of a connection's first request, a body
that drips, or a client that does not read its answer. This worker corrects those five. All that
is known here of gunicorn's private names is in :class:`Connection` and :meth:`HostWorker._serve`.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]
from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

from rolehost.delivery import forks
from rolehost.delivery.guard import role_loop
from rolehost.deployment.model import HttpSettings
from rolehost.roles.http.gate import Asgi
from rolehost.roles.http.listener import BACKLOG
from rolehost.roles.http.writing import Progress
from rolehost.roles.status import RETIRE

if TYPE_CHECKING:
    from rolehost.roles.http.server import Server

#: The most seconds between heartbeats to the master, and between looks for slow clients.
TICK = 1.0

#: Close code of a WebSocket whose server ends (RFC 6455, section 7.4.1).
GOING_AWAY = 1001

#: Signals that end a worker.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, RETIRE)

#: What a connection is doing: idle between requests, or receiving a head or a body.
IDLE, HEAD, BODY, BUSY = "idle", "head", "body", "busy"


class Connection(ASGIProtocol):  # type: ignore[misc]
    """A client's connection. Adds nothing to a request: it is looked at once per tick."""

    worker: HostWorker

    def __init__(self, worker: HostWorker) -> None:
        super().__init__(worker)
        # gunicorn's own setting knows whole seconds only.
        self._keepalive = worker.app.http.keep_alive
        self._judged = 0
        self._last = False
        self._progress = Progress()

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

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        # Asked once or twice for each answer. What its head has said must hold at its end, also
        # when this process was told in between to retire.
        if self._judged != self.req_count:
            self._judged = self.req_count
            self._last = self.worker.retires
        return self._last or bool(super()._will_close(request, response_requires_close))

    def _phase(self) -> str:
        if self._websocket is not None:
            return BUSY
        if self._current_request is None:
            return HEAD if self.req_count <= 1 else IDLE
        receiver = self._body_receiver
        return BODY if receiver is not None and not receiver._complete else BUSY

    def resume_writing(self) -> None:
        """Let the application write again; asyncio calls it when the client took enough."""
        self._progress.made()
        super().resume_writing()

    def look(self, now: float, http: HttpSettings) -> None:
        """Cut the client off when it sends or reads too slowly."""
        waiting = self.transport.get_write_buffer_size()
        if self._progress.stalled(waiting, now, http.write_timeout):
            self.log.warning(
                "a client was cut off: for %g s it did not read its answer, of which %d bytes"
                " are left",
                http.write_timeout,
                waiting,
            )
            self._reset()
            return
        phase = (self.req_count, self._phase())
        # A connection's first head is counted from its beginning, whatever req_count says.
        if phase != self.phase and not (phase[1] == self.phase[1] == HEAD):
            self.since = now
        self.phase = phase
        late = now - self.since
        if phase[1] == HEAD and late > http.head_timeout:
            self._send_error_response(408, "The request did not arrive in time.")
            self.hang_up()
        elif phase[1] == BODY and late > http.body_timeout:
            # The application sees the client as gone, and answers 408.
            self._body_receiver._body_wait_expired = True
            self._body_receiver._wake_waiter()

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self._phase() in (BODY, BUSY)

    def _reset(self) -> None:
        """Close at once: neither wait for what is not sent nor leave it to the kernel."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def hang_up_when_idle(self) -> None:
        """Close unless a request is on its way."""
        if self._phase() in (IDLE, HEAD) and not self._begun():
            self.hang_up()

    def go_away(self) -> None:
        """Tell both ends of a WebSocket that this process ends (RFC 6455, code 1001)."""
        socket = self._websocket
        if socket is not None and socket.accepted and not socket.closed:
            self._farewell = self.worker.loop.create_task(self._bid_farewell(socket))

    async def _bid_farewell(self, socket: Any) -> None:
        with suppress(Exception):  # it may end at this very moment
            await socket._send_close(GOING_AWAY, "the server is going away")
        message = {"type": "websocket.disconnect", "code": GOING_AWAY, "reason": ""}
        await socket._receive_queue.put(message)

    def hang_up(self) -> None:
        """Close now."""
        self._close_transport()
        if self._request_ready is not None:
            self._request_ready.set()

    def _begun(self) -> bool:
        """Whether the first bytes of a head have come."""
        return bool(getattr(self._callback_parser, "_buffer", b""))


class HostWorker(ASGIWorker):  # type: ignore[misc]
    """One http process: a child of gunicorn's master.

    Attributes:
        app: what it serves.
        connections: those that are open.
        retires: another process serves the same listener; this one answers what comes on the
            connections that it has, each for the last time.
        served: a byte shared with the master, set when connections are accepted.
    """

    app: Server
    served: mmap.mmap

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.retires = False
        self._stop = asyncio.Event()
        self._emptied = asyncio.Event()
        self._drained: asyncio.Future[None] | None = None
        self._told = threading.Event()
        self._failure: Exception | None = None
        self._noted: list[int] = []

    def in_flight(self) -> int:
        """Count the requests that are being received or answered; called by any thread."""
        return sum(connection.busy for connection in tuple(self.connections))

    def init_signals(self) -> None:
        """Note signals from here on, those that came since the fork too."""
        super().init_signals()
        # uvloop forgets what comes before it runs, and loading may take a while.
        for number in STOPPING:
            signal.signal(number, lambda number, _frame: self._noted.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self.app.process.beats.dumps()

    def _heed_signals(self) -> None:
        """Let the running loop have the signals, those that were noted too."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        super().init_signals()
        self.app.process.beats.dumps()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for number in self._noted:
            if number == signal.SIGTERM:
                self.handle_exit_signal()
            elif number == RETIRE:
                self.handle_usr1_signal()
            else:
                self.handle_quit_signal()

    def handle_exit_signal(self) -> None:
        """TERM: turn unready at once, stop accepting after the delay; at once while waiting."""
        if self.app.waiting:
            self._stop_serving()
        elif self._drained is None:
            self._drained = self.loop.run_in_executor(None, self.app.process.drain)
            self.loop.call_later(self.app.http.shutdown_delay, self._stop_serving)

    def handle_usr1_signal(self) -> None:
        """Retire; at once while waiting."""
        if self.app.waiting:
            self._stop_serving()
        else:
            self.retires = True
            self._stop.set()

    def handle_quit_signal(self) -> None:
        """INT or QUIT: stop without waiting for anybody."""
        super().handle_quit_signal()
        self._stop_serving()

    def forget(self, connection: Connection) -> None:
        """A connection ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def run(self) -> None:
        """Serve until told to stop; then drain and stop the process."""
        try:
            super().run()
        finally:
            self.app.unload()
        if self._failure is not None:
            self.app.fail(self._failure)

    def _stop_serving(self) -> None:
        self.alive = False
        self._told.set()
        self._stop.set()

    async def _serve(self) -> None:
        with role_loop(self.loop):
            await self._serve_until_stopped()

    async def _serve_until_stopped(self) -> None:
        self._heed_signals()
        forks.arm()
        self.app.process.in_flight = self.in_flight
        for listener in self.sockets:
            self.servers.append(
                await self.loop.create_server(
                    lambda: Connection(self), sock=listener.sock, backlog=BACKLOG
                )
            )
        if self.app.waiting:
            threading.Thread(target=self._begin, name="waits for storage", daemon=True).start()
        else:
            self.app.serving()
        self.served[0] = 1
        while self.alive and not self.retires and self.ppid == os.getppid():
            self._tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._pace)
        await self._close_servers()
        self.app.end_streams()
        for connection in list(self.connections):
            connection.go_away()
        if self.retires:
            await self._bid_farewell(self.loop.time() + self.app.http.keep_alive)
        self.alive = False
        if not self._quick_shutdown:
            await self._finish(self.loop.time() + self.app.http.grace)
        if self._drained is not None:
            await self._drained

    def _begin(self) -> None:
        """Wait for the backends, in a thread, and start; the loop learns how it went."""
        failure: Exception | None = None
        asgi: Asgi | None = None
        try:
            asgi = self.app.begin(self._told)
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(self._began, asgi, failure)

    def _began(self, asgi: Asgi | None, failure: Exception | None) -> None:
        if asgi is None:
            self._failure = failure
            self._stop_serving()
            return
        self.asgi = asgi
        for connection in list(self.connections):
            connection.hang_up_when_idle()
        self.app.serving()

    async def _finish(self, deadline: float) -> None:
        """Wait for the requests that are on their way."""
        for connection in list(self.connections):
            connection.hang_up_when_idle()
        while self.connections and not self._quick_shutdown:
            left = deadline - self.loop.time()
            if left <= 0:
                self.log.warning("%d requests did not finish in time", len(self.connections))
                return
            await self._until_empty(left)
            for connection in list(self.connections):
                connection.hang_up_when_idle()

    async def _bid_farewell(self, deadline: float) -> None:
        """Wait until each connection has had its last answer, or has been idle too long.

        One that hung up on the idle would meet some whose next request is on its way.
        """
        while self.connections and self.alive and self.loop.time() < deadline:
            await self._until_empty(deadline - self.loop.time())

    async def _until_empty(self, seconds: float) -> None:
        """Wait for the last connection's end, so long at most, but no longer than a tick."""
        self._tick()
        self._emptied.clear()
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), min(self._pace, seconds))

    async def _close_servers(self) -> None:
        if isinstance(self.loop, asyncio.SelectorEventLoop):
            # It hands over what it has accepted one step later, which needs an open server.
            for listener in self.sockets:
                self.loop.remove_reader(listener.sock)
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    @property
    def _pace(self) -> float:
        return min(TICK, self.app.process.beats.every)

    def _tick(self) -> None:
        hang = self.app.process.composition.deployment.host.supervisor.hang
        if not hang or not self.app.stuck(hang):
            self.notify()
        now = self.loop.time()
        http = self.app.http
        for connection in list(self.connections):
            connection.look(now, http)
