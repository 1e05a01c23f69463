"""The peewee database over the pool: a connection for each thread that is in a session."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import peewee
import psycopg2
from psycopg2 import errors
from rolehost.api import StorageError

from rolehost_postgres.failures import storage_error, transaction_aborted, translate_error
from rolehost_postgres.pool import Pool
from rolehost_postgres.wire import BEGIN, Connection


class _Held:
    """A mark of one thread; when it ends with the thread, the thread's connection is given back."""

    __slots__ = ("__weakref__",)


class _ThreadState(threading.local):
    """The state of one thread.

    Attributes:
        depth: number of nested sessions that the thread is in.
        held: the connection that the thread has taken, if any.
    """

    def __init__(self, pool: Pool) -> None:
        self.depth = 0
        self.held: list[Connection] = []
        # The mark ends with the thread, even if a suspended generator still refers to the
        # connection.
        self._mark = _Held()
        finalizer = weakref.finalize(self._mark, _thread_ended, pool, self.held, os.getpid())
        finalizer.atexit = False


def _thread_ended(pool: Pool, held: list[Connection], process: int) -> None:
    """Give back the connection of a thread that ended within a session; the server rolls back."""
    # In a forked child the threads of its parent are gone, but the parent uses their connections.
    if os.getpid() == process:
        while held:
            connection = held.pop()
            connection.close()
            pool.give(connection)


class Connections(peewee.PostgresqlDatabase):
    """Connects by itself, but only inside a session of the thread.

    If a thread ends within a session, its connection is given back. A broken connection stays
    with its thread until the transaction is over, so that no statement of the transaction runs on
    another connection. The next statement after the transaction gets a new connection.

    Args:
        pool: gives connections.
        place: backend, host and database, for messages.
    """

    def __init__(self, pool: Pool, place: str) -> None:
        self.pool = pool
        self.place = place
        self.thread = _ThreadState(pool)
        super().__init__("postgres")
        pool.on_fork = self._drop_parent_connection

    @property
    def autoconnect(self) -> bool:
        """Whether the calling thread may connect: inside a session only."""
        return self.thread.depth > 0

    @autoconnect.setter
    def autoconnect(self, value: bool) -> None:
        """Ignore the default that peewee's constructor sets."""

    def driver(self) -> Connection:
        """Return the calling thread's connection; take one from the pool if needed.

        Raises:
            StorageError: the thread is in no session, or the database was closed.
            StorageUnavailable: no connection can be opened, or none became free in time.
        """
        held = self._state.conn
        if held is not None:
            if not held.closed or self.in_transaction():
                return held
            self.give_back()
        if self.thread.depth == 0:
            raise StorageError(f"{self.place}: this thread is in no database.session()")
        self.connect(reuse_if_open=True)
        return self._state.conn

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection from the pool, without holding peewee's lock while waiting."""
        if self._state.conn is not None:
            if reuse_if_open:
                return False
            raise peewee.OperationalError("this thread has a connection already")
        connection = self.pool.take()
        self._state.set_connection(connection)
        self.thread.held.append(connection)
        if self.server_version is None:
            self._set_server_version(connection)
        return True

    #: Set with the first connection.
    server_version: int | None = None

    def cursor(self, named_cursor: str | None = None) -> Any:
        """Return a cursor of the calling thread's connection."""
        connection = self.driver()
        return connection.cursor() if named_cursor is None else super().cursor(named_cursor)

    def _close(self, conn: Connection) -> None:
        self.thread.held.clear()
        self.pool.give(conn)

    def _drop_parent_connection(self) -> None:
        """In a forked child, drop the connection of the calling thread: it is the parent's."""
        self.thread.held.clear()
        self._state.reset()

    def give_back(self) -> None:
        """Give the calling thread's connection back to the pool; roll back an open transaction."""
        connection = self._state.conn
        if connection is None:
            return
        self._state.reset()
        self.thread.held.clear()
        try:
            if not connection.closed:
                _end_transaction(connection)
        finally:
            self.pool.give(connection)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement of peewee; raise the host's error if the storage fails."""
        try:
            return super().execute_sql(sql, params)
        except peewee.PeeweeException as error:
            known = storage_error(error, self.place)
            if known is not None:
                raise known from error
            raise

    def begin(self, isolation_level: Any = None) -> None:
        """Begin a transaction; BEGIN is sent with its first statement."""
        if isolation_level is not None:
            super().begin(isolation_level)
            return
        self.driver().pending = BEGIN

    def commit(self) -> None:
        """Commit.

        Raises:
            TransactionAborted: a statement had failed, so the server rolled back.
            StorageUnavailable: the connection was lost; the server may have committed.
        """
        # Not driver(), which would return another connection if this one was lost.
        connection = self._state.conn
        if (
            not connection.closed and connection.idle
        ):  # no statement ran, or the last one has committed
            connection.pending = ""
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute("COMMIT")
                status = cursor.statusmessage
        except psycopg2.Error as error:
            raise translate_error(error, self.place) from error
        # After a failed statement, the server answers COMMIT with ROLLBACK, without an error.
        if status != "COMMIT":
            raise transaction_aborted(self.place)

    def conclude(self, sql: str, params: Sequence[Any]) -> bool:
        """Run an UPDATE, INSERT or DELETE; if it changes a row, commit in the same round trip.

        Args:
            sql: the statement in the driver's style, without RETURNING.
            params: its parameters.

        Returns:
            False if the statement changed no row: then the transaction must be rolled back.

        Raises:
            TransactionAborted: a statement had failed, so the server rolled back.
            StorageUnavailable: the connection was lost; the server may have committed.
        """
        # If no row changed, the division by zero stops the whole text, so nothing is committed.
        text = f"WITH changed AS ({sql} RETURNING 1) SELECT 1 / count(*) FROM changed;COMMIT"
        try:
            with self.driver().cursor() as cursor:
                cursor.execute(text, params)
        except errors.DivisionByZero:
            return False
        except psycopg2.Error as error:
            raise translate_error(error, self.place) from error
        return True

    def rollback(self) -> None:
        """Roll back; if the connection is lost, the server rolls back."""
        connection = self._state.conn
        if connection is not None and not connection.closed:
            _end_transaction(connection)


def _end_transaction(connection: Connection) -> None:
    """Roll back an open transaction; close the connection if that fails."""
    connection.pending = ""
    try:
        if not connection.idle:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
    except psycopg2.Error:
        connection.close()
