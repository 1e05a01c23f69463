"""A bounded pool of connections, for the threads of one process."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue

import psycopg2
from rolehost.api import StorageError, StorageUnavailable

from rolehost_postgres.server import Server
from rolehost_postgres.wire import Connection

#: Seconds that an unused connection has to answer when it is tested.
CHECK_TIMEOUT = 5.0


class Pool:
    """Opens connections on demand; the connection that was given back last is used first.

    Args:
        server: opens connections.
        size: maximum number of connections.
        timeout: seconds to wait for a connection.
        check_idle: seconds after which an unused connection is tested.
    """

    def __init__(self, server: Server, *, size: int, timeout: float, check_idle: float) -> None:
        self._server = server
        self._size = size
        self._timeout = timeout
        self._check_idle = check_idle
        #: Called in a forked child, for objects that hold a connection of the parent.
        self.on_fork: Callable[[], None] | None = None
        self._start_empty()
        self._closed = False
        _pools.add(self)

    def _start_empty(self) -> None:
        #: One None for each connection that may be taken. PERF: threading's
        #: semaphores are written in Python.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._size):
            self._free.put(None)
        self._guard = threading.Lock()
        self._idle: list[tuple[Connection, float]] = []

    def take(self) -> Connection:
        """Take a connection that works as far as known; return it with :meth:`give`.

        Raises:
            StorageError: the pool was closed.
            StorageUnavailable: no connection became free in time, or none can be opened.
        """
        if self._closed:
            raise StorageError(f"{self._server.place}: it was closed in this process")
        try:
            self._free.get(timeout=self._timeout)
        except Empty:
            raise StorageUnavailable(
                f"{self._server.place}: all {self._size} connections of this process are in"
                " use; raise [postgres] pool_size"
            ) from None
        try:
            while (found := self._pop()) is not None:
                connection, since = found
                if self._is_usable(connection, since):
                    return connection
                connection.close()
            return self._server.connect()
        except BaseException:
            self._free.put(None)
            raise

    def give(self, connection: Connection) -> None:
        """Give a connection back; close it if it is broken or in a transaction."""
        try:
            if connection.silent:
                self._close_idle()
            connection.pending = ""
            usable = not connection.closed and connection.idle
            with self._guard:
                keep = usable and not self._closed
                if keep:
                    self._idle.append((connection, time.monotonic()))
            if not keep:
                connection.close()
        finally:
            self._free.put(None)

    def close(self) -> None:
        """Close the idle connections; others are closed when given back. Idempotent."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        """Close the idle connections, for example because another one has become silent."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _pop(self) -> tuple[Connection, float] | None:
        with self._guard:
            return self._idle.pop() if self._idle else None

    def _is_usable(self, connection: Connection, since: float) -> bool:
        # PERF: if the server closed the connection, the socket is readable, which takes
        # microseconds to find out. Only a silent loss needs a round trip.
        if connection.closed or _readable(connection.fileno()):
            return False
        if time.monotonic() - since < self._check_idle:
            return True
        patience, connection.patience = connection.patience, CHECK_TIMEOUT
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            connection.patience = patience
            return True
        if connection.silent:
            self._close_idle()
        return False

    def forget_after_fork(self) -> None:
        """In a forked child, use no connection of the parent; the driver does not close them."""
        self._start_empty()
        if self.on_fork is not None:
            self.on_fork()


def _readable(number: int) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
