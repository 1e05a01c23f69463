"""Storage kind ``database`` in one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal

from rolehost.api import Cursor, Database, PeeweeTransaction, Transaction, check_values

from rolehost_embedded import abilities
from rolehost_embedded.connections import Connections, ThreadState
from rolehost_embedded.failures import translate_error
from rolehost_embedded.location import absolute
from rolehost_embedded.locks import lock_of
from rolehost_embedded.settings import EmbeddedSettings

#: Seconds that a process waits for the migrations of another process.
_MIGRATION_WAIT = 600.0


class EmbeddedDatabase(Database):
    """SQLite with a write-ahead log: readers never wait, writers queue for a file lock."""

    capabilities: ClassVar[frozenset[str]] = abilities.DATABASE
    dialect: ClassVar[Literal["sqlite", "postgresql"]] = "sqlite"

    #: Opens connections inside sessions only; see :class:`Connections`.
    peewee: Connections

    def __init__(self, settings: EmbeddedSettings) -> None:
        self.path = absolute(settings.path)
        self.peewee = Connections(
            self.path,
            synchronous=settings.synchronous,
            timeout=settings.busy_timeout,
            page_cache=settings.page_cache,
        )
        self._session = _Session(self.peewee)

    def session(self) -> AbstractContextManager[None]:
        """See :meth:`rolehost.api.Database.session`."""
        return self._session

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See :meth:`rolehost.api.Database.transaction`; enters a session if in none."""
        return _Transaction(self.peewee, self._session, self.path)

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See :meth:`rolehost.api.Database.read`."""
        check_values(params)
        try:
            return self.peewee.driver().execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise translate_error(error, self.path) from error

    @contextmanager
    def migration_lock(self) -> Iterator[None]:
        """See :meth:`rolehost.api.Database.migration_lock`."""
        with self._session:
            self.peewee.driver()  # creates the folder of the lock file
        lock = lock_of(self.path.with_name(self.path.name + "-migrate-lock"))
        lock.acquire(_MIGRATION_WAIT)
        try:
            yield
        finally:
            lock.release()
            lock.discard()

    def ping(self) -> None:
        """See :meth:`rolehost.api.Database.ping`."""
        with self._session:
            self.read("PRAGMA schema_version")

    def abandon(self, thread: int) -> None:
        """See :meth:`rolehost.api.Database.abandon`."""
        self.peewee.abandon(thread)

    def close(self) -> None:
        """See :meth:`rolehost.api.Database.close`."""
        self.peewee.close_all()


class _Session:
    """Lets a thread connect. It has no state, so one object serves all threads."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> None:
        state = self._connections.state
        if state.depth == 0:
            state.guard.acquire()
        state.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connections = self._connections
        state = connections.state
        if state.depth > 1:
            state.depth -= 1
        else:
            self._end(state)

    def _end(self, state: ThreadState) -> None:
        try:
            if state.connection is not None:
                self._connections.end_session(state)
                if self._connections.closed:
                    state.close()
        finally:
            state.depth = 0
            state.guard.release()


class _Transaction(PeeweeTransaction):
    __slots__ = ()

    connections: Connections
    driver: sqlite3.Connection

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; an error of the statement is raised as peewee's class for it."""
        check_values(params)
        try:
            return self.driver.execute(sql, params)
        except sqlite3.Error as error:
            raise translate_error(error, self.connections.path) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        for row in rows:
            check_values(row)
        try:
            self.driver.executemany(sql, rows)
        except sqlite3.Error as error:
            raise translate_error(error, self.connections.path) from error
