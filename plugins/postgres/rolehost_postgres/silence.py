"""Ends connections on which a statement has got no answer for too long.

A connection can become *silent*: a proxy or a firewall forgets it and sends no reset, and a proxy
even answers TCP's keepalives. libpq would wait for the answer for ever.

PERF: a statement only counts up when it begins and ends. A thread looks at the counts now and then,
and shuts the socket of a silent connection down. The waiting thread then gets the driver's error
for a lost connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING

import psycopg2
import structlog

if TYPE_CHECKING:
    from rolehost_postgres.wire import Connection

log = structlog.get_logger(__name__)

#: Seconds between two looks at the connections.
_INTERVAL = 0.5


class SilenceWatch:
    """Watches the connections of one process, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._start_empty()

    def _start_empty(self) -> None:
        #: By connection, the statement that runs on it, and since when; monotonic seconds.
        self._seen: weakref.WeakKeyDictionary[Connection, tuple[int, float]] = (
            weakref.WeakKeyDictionary()
        )
        self._thread: threading.Thread | None = None

    def add(self, connection: Connection) -> None:
        """Watch a connection until it is closed."""
        with self._guard:
            self._seen[connection] = (0, 0.0)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="rolehost-postgres-silence", daemon=True
                )
                self._thread.start()

    def forget_after_fork(self) -> None:
        """In a forked child, watch none of the parent's connections."""
        self._guard = threading.Lock()
        self._start_empty()

    def _run(self) -> None:
        never = threading.Event()
        while not never.wait(_INTERVAL):
            with self._guard:
                for connection in list(self._seen):
                    if connection.closed:
                        del self._seen[connection]
                    else:
                        # Its thread may close it meanwhile.
                        with contextlib.suppress(psycopg2.Error, OSError):
                            self._look(connection, time.monotonic())

    def _look(self, connection: Connection, now: float) -> None:
        running, (seen, since) = connection.statements, self._seen[connection]
        if running != seen:
            self._seen[connection] = (running, now)
        elif not running % 2:
            idle = connection.idle_limit and now - since > connection.idle_limit
            connection.abandoned = bool(idle and not connection.idle)
        elif connection.patience and now - since > connection.patience and not connection.silent:
            with socket.socket(fileno=os.dup(connection.fileno())) as copy:
                # The number belongs to this connection only as long as the statement runs.
                if connection.statements == running:
                    connection.silent = True
                    log.warning("no answer, connection ended", seconds=round(now - since, 1))
                    copy.shutdown(socket.SHUT_RDWR)


watch = SilenceWatch()
os.register_at_fork(after_in_child=watch.forget_after_fork)
