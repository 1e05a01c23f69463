"""Storage kind ``database`` on a PostgreSQL server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal

import psycopg2
from psycopg2 import errors
from rolehost.api import Cursor, Database, PeeweeTransaction, StorageBusy, StorageError, Transaction

from rolehost_postgres import abilities
from rolehost_postgres.bulk import run_many
from rolehost_postgres.connections import Connections
from rolehost_postgres.failures import translate_error
from rolehost_postgres.placeholders import prepared, translate
from rolehost_postgres.pool import Pool
from rolehost_postgres.server import Server
from rolehost_postgres.settings import PostgresSettings
from rolehost_postgres.wire import BEGIN, Connection

#: Seconds that a process waits for the migrations of another process.
_MIGRATION_WAIT = 600.0
#: Seconds between two attempts to take the migration lock.
_MIGRATION_POLL = 0.1
#: Milliseconds that a statement of a migration waits for a lock. Other statements on the table
#: queue up behind it, so the time is short, and the migration is tried again.
_MIGRATION_LOCK_MS = 1000
#: Number of the advisory lock for migrations: "rolehost" in ASCII.
_MIGRATION_LOCK = int.from_bytes(b"rolehost", "big")
#: The server's limit without its reserved connections; -1 is no limit.
#: Source: https://www.postgresql.org/docs/current/runtime-config-connection.html.
_LIMIT = """
    SELECT least(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
    )
"""


class PostgresDatabase(Database):
    """PostgreSQL with READ COMMITTED transactions; connections come from a pool."""

    capabilities: ClassVar[frozenset[str]] = abilities.DATABASE
    dialect: ClassVar[Literal["sqlite", "postgresql"]] = "postgresql"

    #: Takes connections inside sessions only; see :class:`Connections`.
    peewee: Connections

    def __init__(self, settings: PostgresSettings) -> None:
        self._server = Server(settings, "database")
        pool = Pool(
            self._server,
            size=settings.pool_size,
            timeout=settings.pool_timeout,
            check_idle=settings.check_idle,
        )
        self.peewee = Connections(pool, self._server.place)
        self._session = _Session(self.peewee)
        #: The connection that holds the migration lock, while this process holds it.
        self._lock_holder: Connection | None = None

    def session(self) -> AbstractContextManager[None]:
        """See :meth:`rolehost.api.Database.session`."""
        return self._session

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See :meth:`rolehost.api.Database.transaction`; enters a session if in none."""
        return _Transaction(self.peewee, self._session, self._server.place)

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See :meth:`rolehost.api.Database.read`."""
        connections = self.peewee
        try:
            with connections.driver().cursor() as cursor:
                _execute(cursor, sql, params)
                return cursor.fetchall()
        except psycopg2.Error as error:
            raise translate_error(error, connections.place) from error

    @contextmanager
    def migration_lock(self) -> Iterator[None]:
        """See :meth:`rolehost.api.Database.migration_lock`; uses a separate connection."""
        holder = self._server.connect()
        try:
            try:
                self._wait_for_lock(holder)
            except psycopg2.Error as error:
                raise translate_error(error, self._server.place) from error
            self._lock_holder = holder
            try:
                yield
            finally:
                self._lock_holder = None
        finally:
            holder.close()

    def _wait_for_lock(self, holder: Connection) -> None:
        # The lock is polled: a statement that waits is a transaction, and CREATE INDEX
        # CONCURRENTLY, which runs under this lock, would wait for that transaction.
        until = time.monotonic() + _MIGRATION_WAIT
        with holder.cursor() as cursor:
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (_MIGRATION_LOCK,))
                if cursor.fetchone() == (True,):
                    return
                if time.monotonic() > until:
                    raise StorageBusy(
                        f"{self._server.place}: another process has been migrating for"
                        f" {_MIGRATION_WAIT:g} seconds"
                    )
                time.sleep(_MIGRATION_POLL)

    @contextmanager
    def migration_transaction(self) -> Iterator[Transaction]:
        """See :meth:`rolehost.api.Database.migration_transaction`."""
        with self.transaction() as transaction:
            transaction.execute(
                f"SET LOCAL lock_timeout = {_MIGRATION_LOCK_MS}; SET LOCAL statement_timeout = 0;"
                "SET LOCAL idle_in_transaction_session_timeout = 0"
            )
            connection = self.peewee.driver()
            patience, connection.patience = connection.patience, 0.0
            try:
                yield transaction
            finally:
                connection.patience = patience

    def migration_statement(self, sql: str) -> None:
        """See :meth:`rolehost.api.Database.migration_statement`.

        The statement has no time limits: it blocks no other statement, and a time-out would leave
        an invalid index. It runs on the connection that holds the migration lock.
        """
        connection = self._lock_holder
        if connection is None:
            raise StorageError(f"{self._server.place}: this process holds no migration lock")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0")
                connection.patience = 0.0
                cursor.execute(sql)
        except psycopg2.Error as error:
            raise translate_error(error, self._server.place) from error

    def ping(self) -> None:
        """See :meth:`rolehost.api.Database.ping`."""
        with self._session:
            self.read("SELECT 1")

    def connection_limit(self) -> int | None:
        """See :meth:`rolehost.api.Database.connection_limit`."""
        with self.session():
            [(limit,)] = self.read(_LIMIT)
        return int(limit)

    def close(self) -> None:
        """See :meth:`rolehost.api.Database.close`."""
        self.peewee.pool.close()


class _Session:
    """Lets a thread connect. It has no state, so one object serves all threads."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> None:
        self._connections.thread.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread = self._connections.thread
        thread.depth -= 1
        if thread.depth == 0:
            self._connections.give_back()


#: Statements that need no answer, so they are sent with the next one.
_DEFERRED = ("SAVEPOINT ", "RELEASE SAVEPOINT ")


class _NoRows:
    """The result of a statement that is sent with the next one."""

    rowcount = -1

    def fetchone(self) -> None:
        """Return None."""

    def fetchall(self) -> list[Any]:
        """Return no rows."""
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())


_NO_ROWS = _NoRows()


class _Transaction(PeeweeTransaction):
    __slots__ = ()

    connections: Connections

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; an error of the statement is raised as peewee's class for it."""
        if sql.startswith(_DEFERRED) and not params and self.driver.defer(sql):
            return _NO_ROWS  # PERF: a cursor costs as much as the rest of this call
        try:
            cursor = self.driver.cursor()
            _execute(cursor, sql, params)
        except psycopg2.Error as error:
            raise translate_error(error, self.connections.place) from error
        result: Cursor = cursor
        return result

    def execute_only(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run the only statement without BEGIN: the server commits it in the same round trip.

        PERF: it is prepared in each session, because the server takes long to parse and plan it.
        """
        driver = self.driver
        if driver.pending == BEGIN:
            driver.pending = ""
        prepare, execute = prepared(sql)
        try:
            result: Cursor = driver.cursor()
            if prepare not in driver.prepared:
                driver.prepared.add(prepare)  # first, because an interruption may follow
                result.execute(prepare)
            result.execute(execute, params)
        except errors.InvalidSqlStatementName:
            # An interruption stopped PREPARE, or DISCARD has removed its result.
            driver.prepared.discard(prepare)
            return self.execute(sql, params)
        except psycopg2.Error as error:
            raise translate_error(error, self.connections.place) from error
        return result

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        """Run the last statement and commit; both in one round trip."""
        return self.connections.conclude(translate(sql), tuple(params))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters, many of them in each round trip."""
        try:
            with self.driver.cursor() as cursor:
                run_many(cursor, translate(sql), rows)
        except psycopg2.Error as error:
            raise translate_error(error, self.connections.place) from error


def _execute(cursor: Any, sql: str, params: Sequence[Any]) -> None:
    if params:
        cursor.execute(translate(sql), tuple(params))
    else:
        cursor.execute(sql)
