"""Receives wake-ups: one connection of the process listens for all its listeners."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Collection

import psycopg2
from rolehost.api import RolehostError, StorageError, WakeListener

from rolehost_postgres.payloads import CHANNEL, token, tokens_of
from rolehost_postgres.server import Server
from rolehost_postgres.wire import Connection

#: Seconds between attempts to connect again: the first pause, and the longest.
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 2.0


class Listeners:
    """The listeners of one process. The first listener opens the connection.

    A lost connection is replaced.

    Args:
        server: opens the connection.
        check_idle: seconds without a notification after which the connection is tested.
    """

    def __init__(self, server: Server, check_idle: float) -> None:
        self._server = server
        self._check_idle = check_idle
        self._guard = threading.Lock()
        self._all: tuple[WakeListener, ...] = ()
        self._thread: threading.Thread | None = None
        self._stop, self._stopped = socket.socketpair()
        self._closed = False

    def listen(self, names: Collection[str]) -> WakeListener:
        """Listen for wake-ups with these names from now on.

        Raises:
            StorageError: :meth:`close` was called.
            StorageUnavailable: the server cannot be reached.
        """
        listener = WakeListener(names, self.forget)
        with self._guard:
            if self._closed:
                raise StorageError(f"{self._server.place}: it was closed in this process")
            if self._thread is None:
                connection = self._connect()
                self._thread = threading.Thread(
                    target=self._run,
                    args=(connection,),
                    name="rolehost-postgres-listen",
                    daemon=True,
                )
                self._thread.start()
            self._all = (*self._all, listener)
        return listener

    def forget(self, listener: WakeListener) -> None:
        """Remove a listener that was closed."""
        with self._guard:
            self._all = tuple(each for each in self._all if each is not listener)

    def close(self) -> None:
        """Interrupt all listeners and end the connection. Idempotent."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            listeners, thread = self._all, self._thread
        self._stop.close()
        if thread is not None:
            thread.join()
        self._stopped.close()
        for listener in listeners:
            listener.close()

    def _connect(self) -> Connection:
        connection = self._server.connect()
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection

    def _run(self, connection: Connection | None) -> None:
        pause = _FIRST_PAUSE
        while connection is not None or not self._wait_for_close(pause):
            try:
                if connection is None:
                    connection = self._connect()
                    self._wake(None)
                    pause = _FIRST_PAUSE
                self._receive(connection)
                connection.close()
                return
            except (RolehostError, psycopg2.Error):
                if connection is not None:
                    connection.close()
                    connection = None
                pause = min(pause * 2, _MAX_PAUSE)

    def _receive(self, connection: Connection) -> None:
        """Pass notifications on until this is closed.

        Raises:
            psycopg2.Error: the connection was lost.
        """
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._stopped.fileno(), select.POLLIN)
        while True:
            ready = {number for number, _ in poll.poll(self._check_idle * 1000)}
            if not ready:
                # A dead connection delivers nothing and raises no error. This statement ends it:
                # see :mod:`.silence`.
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            if self._stopped.fileno() in ready:
                return
            connection.poll()
            received = connection.notifies[:]
            del connection.notifies[: len(received)]
            if received:
                self._wake(frozenset().union(*(tokens_of(each.payload) for each in received)))

    def _wake(self, tokens: frozenset[str] | None) -> None:
        for listener in self._all:
            woken = None if tokens is None else {n for n in listener.names if token(n) in tokens}
            listener.wake(woken)

    def _wait_for_close(self, seconds: float) -> bool:
        """Wait; return whether this was closed."""
        poll = select.poll()
        poll.register(self._stopped.fileno(), select.POLLIN)
        return bool(poll.poll(int(seconds * 1000)))
