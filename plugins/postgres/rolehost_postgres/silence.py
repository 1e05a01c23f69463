"""Ends connections on which a statement gets no answer any more.

A connection can become *silent*: a proxy or a firewall forgets it and sends no reset, and a proxy
even answers TCP's keepalives. libpq would wait for the answer for ever.

If a statement takes longer than :data:`SUSPECT`, the server is asked about it, over a connection
made for that. If the server has ended the session, or has answered the statement or never got it,
the connection is silent. If the server cannot tell, the statement fails after the connection's
``patience``.

PERF: a statement only increments a counter when it begins and when it ends. A thread reads the
counters regularly, and shuts down the socket of a silent connection. The waiting thread then gets
the driver's error for a lost connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg2
import structlog
from rolehost.api import RolehostError

if TYPE_CHECKING:
    from rolehost_postgres.server import Server
    from rolehost_postgres.wire import Connection

log = structlog.get_logger(__name__)

#: Seconds between two checks of the connections.
_INTERVAL = 0.5
#: Seconds of a statement after which the server is asked about it, and between two questions.
SUSPECT = 5.0


class SilenceWatch:
    """Watches the connections of one process, in a thread that starts with the first connection."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._start_empty()

    def _start_empty(self) -> None:
        #: Connection → its ``statements``, and the monotonic second when that value was first seen.
        self._seen: weakref.WeakKeyDictionary[Connection, tuple[int, float]] = (
            weakref.WeakKeyDictionary()
        )
        self._thread: threading.Thread | None = None
        self._question: threading.Thread | None = None

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
        """In a forked child, stop watching the parent's connections."""
        self._guard = threading.Lock()
        self._start_empty()

    def _run(self) -> None:
        never = threading.Event()
        while not never.wait(_INTERVAL):
            with self._guard:
                now = time.monotonic()
                suspects = [each for each in list(self._seen) if self._look(each, now)]
            if suspects and self._question is None:
                # The server may not answer, and the other connections must be watched meanwhile.
                self._question = threading.Thread(
                    target=self._ask, args=(suspects,), name="rolehost-postgres-ask", daemon=True
                )
                self._question.start()

    def _look(self, connection: Connection, now: float) -> bool:
        """End a connection if its patience is over; return whether the server must be asked."""
        if connection.closed:
            del self._seen[connection]
            return False
        running, (seen, since) = connection.statements, self._seen[connection]
        seconds = now - since
        if running != seen:
            self._seen[connection] = (running, now)
        elif not running % 2:
            idle = connection.idle_limit and seconds > connection.idle_limit
            connection.abandoned = bool(idle and not connection.idle)
        elif connection.patience and seconds > connection.patience:
            _end(connection, running, seconds)
        else:
            return connection.sessions is not None and now - max(since, connection.asked) > SUSPECT
        return False

    def _ask(self, suspects: Sequence[Connection]) -> None:
        """Ask the servers about the statements of connections; end silent connections."""
        asked: dict[Server, list[tuple[Connection, int, float]]] = defaultdict(list)
        with self._guard:
            for each in suspects:
                if each in self._seen and each.sessions is not None:
                    each.asked = time.monotonic()
                    asked[each.sessions].append((each, *self._seen[each]))
        for server, statements in asked.items():
            # If the server cannot be asked now, it is asked again later.
            with contextlib.suppress(RolehostError, psycopg2.Error):
                busy = server.busy([each.info.backend_pid for each, _, _ in statements])
                for each, running, since in statements:
                    if not each.closed and each.info.backend_pid not in busy:
                        _end(each, running, time.monotonic() - since)
        self._question = None


def _end(connection: Connection, running: int, seconds: float) -> None:
    """Shut down a connection, once, if this statement still runs on it."""
    # The thread of the connection may close it meanwhile.
    with contextlib.suppress(psycopg2.Error, OSError):
        if connection.silent:
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as copy:
            # The descriptor belongs to this connection only as long as the statement runs.
            if connection.statements == running:
                connection.silent = True
                log.warning("no answer, connection ended", seconds=round(seconds, 1))
                copy.shutdown(socket.SHUT_RDWR)


watch = SilenceWatch()
os.register_at_fork(after_in_child=watch.forget_after_fork)
