"""Sends wake-ups in a thread, so that a commit does not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import psycopg2
from rolehost.api import RolehostError

from rolehost_postgres.payloads import CHANNEL, payloads
from rolehost_postgres.pool import Pool

#: After a failure, wake-ups are dropped for this many seconds; listeners poll in the meantime.
_PAUSE = 1.0
#: Minimum seconds between two notifications; under load, one serves many commits.
_GAP = 0.005
#: Seconds that closing waits for names that are not sent yet.
_FLUSH = 2.0


class Sender:
    """Sends the names that :meth:`rolehost.api.Queue.wake` gets.

    The first names are sent at once. Names that come during a notification or shortly after it are
    merged into the next notification.

    Args:
        pool: gives the connection for NOTIFY.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self._names: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._not_before = 0.0

    def send(self, names: Collection[str]) -> None:
        """Send these names soon. Never blocks, never raises."""
        # If all these names wait already, they will be sent after this commit too: nothing to add.
        if self._names.issuperset(names):
            return
        with self._changed:
            if self._closed:
                return
            self._names.update(names)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="rolehost-postgres-notify", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Send the remaining names for a short time at most, and stop. Idempotent."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(_FLUSH)

    def _run(self) -> None:
        sent = 0.0
        while True:
            with self._changed:
                while not self._names and not self._closed:
                    self._changed.wait()
                # Names that arrive now are sent in the same notification.
                self._changed.wait_for(lambda: self._closed, sent + _GAP - time.monotonic())
                if not self._names:
                    return
                names, self._names = self._names, set()
            sent = time.monotonic()
            if sent >= self._not_before:
                self._notify(names)

    def _notify(self, names: set[str]) -> None:
        try:
            connection = self._pool.take()
            try:
                with connection.cursor() as cursor:
                    for payload in payloads(names):
                        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            finally:
                self._pool.give(connection)
        except (RolehostError, psycopg2.Error, ValueError):
            # A lost wake-up does no harm. For a while none is tried, so that names do not wait
            # for a server that does not answer.
            self._not_before = time.monotonic() + _PAUSE
