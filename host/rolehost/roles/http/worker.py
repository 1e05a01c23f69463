"""gunicorn's ASGI worker, with the host's order of draining.

gunicorn 27's own worker checks only once a second whether it must stop, and waits for idle
connections as long as for busy ones. This worker does neither.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import threading
from contextlib import suppress
from typing import Any

from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

from rolehost.delivery import forks
from rolehost.delivery.guard import role_loop
from rolehost.roles.http.application import Application
from rolehost.roles.http.connection import Connection
from rolehost.roles.http.lifecycle import Lifecycle
from rolehost.roles.http.listener import BACKLOG
from rolehost.roles.status import RETIRE

#: The most seconds between two heartbeats to the master, and between two checks of connections.
TICK = 1.0

#: Signals that end a worker.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, RETIRE)


class HostWorker(ASGIWorker):  # type: ignore[misc]
    """One http process: a child of gunicorn's master.

    ``retires``: another process serves the same listener, so this one closes each connection
    after its next response. ``served`` is a byte shared with the master, set when connections
    are accepted.
    """

    served: mmap.mmap

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lifecycle: Lifecycle = self.app.lifecycle
        self.connections: set[Connection] = set()
        self.retires = False
        self._process = self.lifecycle.process
        self._stop = asyncio.Event()
        self._emptied = asyncio.Event()
        self._stop_waiting = threading.Event()
        self._failure: Exception | None = None
        self._early_signals: list[int] = []

    @property
    def closes_after_response(self) -> bool:
        """Whether each connection ends after its next response."""
        return self.retires or self.lifecycle.waiting

    def in_flight(self) -> int:
        """Count the requests that are being received or answered; any thread may call it."""
        return sum(connection.busy for connection in tuple(self.connections))

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def init_signals(self) -> None:
        """Collect signals, also those since the fork, until the event loop runs."""
        super().init_signals()
        # uvloop loses signals that arrive before it runs, and loading may take a long time.
        for number in STOPPING:
            signal.signal(number, lambda number, _frame: self._early_signals.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._process.beats.register_dump()

    def _handle_signals(self) -> None:
        """Let the running loop handle signals, and handle the collected ones."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        super().init_signals()
        self._process.beats.register_dump()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for number in self._early_signals:
            if number == signal.SIGTERM:
                self.handle_exit_signal()
            elif number == RETIRE:
                self.handle_usr1_signal()
            else:
                self.handle_quit_signal()

    def handle_exit_signal(self) -> None:
        """TERM: become unready, and stop accepting after ``shutdown_delay``.

        While the process waits for backends, stop at once.
        """
        if self.lifecycle.waiting:
            self._stop_serving()
        elif not self._process.draining:
            self._process.drain()
            self.loop.call_later(self.lifecycle.http.shutdown_delay, self._stop_serving)

    def handle_usr1_signal(self) -> None:
        """USR1: retire; while waiting for backends, stop at once."""
        if self.lifecycle.waiting:
            self._stop_serving()
        else:
            self.retires = True
            self._stop.set()

    def handle_quit_signal(self) -> None:
        """INT or QUIT: stop without waiting for requests."""
        super().handle_quit_signal()
        self._stop_serving()

    def _stop_serving(self) -> None:
        self.alive = False
        self._stop_waiting.set()
        self._stop.set()

    def run(self) -> None:
        """Serve until the worker must stop; then drain and stop the process."""
        try:
            super().run()
        finally:
            self.lifecycle.unload()
        if self._failure is not None:
            self.lifecycle.fail(self._failure)

    async def _serve(self) -> None:
        with role_loop(self.loop):
            await self._accept()
            while self.alive and not self.retires and self.ppid == os.getppid():
                self._tick()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), self._tick_interval)
            await self._drain()

    async def _accept(self) -> None:
        self._handle_signals()
        forks.reset_in_children()
        self._process.in_flight = self.in_flight
        for listener in self.sockets:
            self.servers.append(
                await self.loop.create_server(
                    lambda: Connection(self), sock=listener.sock, backlog=BACKLOG
                )
            )
        if self.lifecycle.waiting:
            threading.Thread(target=self._begin, name="waits for storage", daemon=True).start()
        else:
            self.lifecycle.note_serving()
        self.served[0] = 1

    def _begin(self) -> None:
        """Wait for the backends and start; runs in a thread."""
        application: Application | None = None
        failure: Exception | None = None
        try:
            application = self.lifecycle.begin(self._stop_waiting)
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(self._began, application, failure)

    def _began(self, application: Application | None, failure: Exception | None) -> None:
        if application is None:
            self._failure = failure
            self._stop_serving()
            return
        self.asgi = application.asgi
        for connection in list(self.connections):
            connection.app = application.asgi
            connection.hang_up_when_idle()
        startup = self.lifecycle.replace_startup(application)
        self.loop.run_in_executor(None, startup.close)
        self.lifecycle.note_serving()

    async def _drain(self) -> None:
        """Stop accepting; wait for requests that are in flight."""
        await self._close_servers()
        self.lifecycle.application.streams.end()
        for connection in list(self.connections):
            connection.close_websocket()
        if self.retires:
            # Wait until each connection has had its last response, or was idle for keep_alive. An
            # idle connection is not closed at once, because its next request may be on its way.
            deadline = self.loop.time() + self.lifecycle.http.keep_alive
            while self.connections and self.alive and self.loop.time() < deadline:
                await self._until_empty(deadline - self.loop.time())
        self.alive = False
        if not self._quick_shutdown:
            await self._finish(self.loop.time() + self.lifecycle.http.grace)

    async def _finish(self, deadline: float) -> None:
        while True:
            for connection in list(self.connections):
                connection.hang_up_when_idle()
            left = deadline - self.loop.time()
            if not self.connections or self._quick_shutdown:
                return
            if left <= 0:
                self.log.warning("%d requests did not finish in time", len(self.connections))
                return
            await self._until_empty(left)

    async def _until_empty(self, seconds: float) -> None:
        """Wait until the last connection ends, for at most ``seconds`` and one tick."""
        self._tick()
        self._emptied.clear()
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), min(self._tick_interval, seconds))

    async def _close_servers(self) -> None:
        if isinstance(self.loop, asyncio.SelectorEventLoop):
            # An accepted connection is served one iteration later, if its server is still open.
            for listener in self.sockets:
                self.loop.remove_reader(listener.sock)
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    @property
    def _tick_interval(self) -> float:
        every: float = self._process.beats.every
        return min(TICK, every)

    def _tick(self) -> None:
        hang = self._process.composition.deployment.host.supervisor.hang
        if not hang or not self.lifecycle.application.threads.stuck(hang):
            self.notify()
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now, self.lifecycle.http)
