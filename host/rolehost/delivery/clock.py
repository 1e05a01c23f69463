"""The clocks of real processes: the clock of the machine and the clock of the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from rolehost.errors import StorageError
from rolehost.storage import Database

log = structlog.get_logger(__name__)

#: Seconds by which a machine's clock may differ from the database's without a log line.
TOLERATED = 2.0

_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


class SystemClock:
    """The wall clock in milliseconds, the unit of all times in the tables."""

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000


class DatabaseClock:
    """The clock of the service database, so that a wrong clock of a machine changes no lease.

    It adds a measured offset to the monotonic clock: on PostgreSQL the offset of the server's clock
    (Cristian's algorithm), on SQLite the offset of the machine's clock. The first :meth:`now`
    measures if :meth:`measure` was not called before. Until a measurement succeeds, the machine's
    clock is used. Thread-safe.
    """

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._offset = time.time_ns() - time.monotonic_ns()
        self._asked = self._known = False
        self._reported = False
        self._guard = threading.Lock()

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        if not self._asked:
            with suppress(StorageError):
                self.measure()
        return (time.monotonic_ns() + self._offset) // 1_000_000

    def measure(self) -> float:
        """Measure the offset; return by how many seconds this clock was set forward.

        The server read its clock at some moment between request and response. The present offset is
        kept if it is possible for such a moment, so a slow response does not shift the clock.

        Raises StorageUnavailable if the database cannot be reached; the offset stays.
        """
        self._asked = True
        before, server, after = self._ask()
        lowest, highest = server - after, server - before
        with self._guard:
            known, old = self._known, self._offset
            middle = (lowest + highest) // 2
            self._offset = min(max(old, lowest), highest) if known else middle
            self._known = True
            self._report((self._offset + time.monotonic_ns() - time.time_ns()) / 1e9)
            return (self._offset - old) / 1e9 if known else 0.0

    def _ask(self) -> tuple[int, int, int]:
        """Return the monotonic time, the database's and the monotonic time again, nanoseconds."""
        database = self._database()
        if database.dialect == "sqlite":
            return time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        with database.session():
            before = time.monotonic_ns()
            [(microseconds,)] = database.read(_NOW)
        return before, int(microseconds) * 1000, time.monotonic_ns()

    def _report(self, ahead: float) -> None:
        if abs(ahead) <= TOLERATED:
            self._reported = False
        elif not self._reported:
            self._reported = True
            log.warning("this machine's clock is wrong, the database's is used", behind=ahead)
