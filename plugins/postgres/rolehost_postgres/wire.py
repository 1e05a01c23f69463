"""The driver's connection and cursor; ``BEGIN`` and savepoints are sent with the next statement.

PERF: a transaction of one statement costs two round trips instead of three, and one without a
statement costs none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from psycopg2.extensions import connection as DriverConnection
from psycopg2.extensions import cursor as DriverCursor

from rolehost_postgres.failures import blame_transaction, remove_values, value_error

if TYPE_CHECKING:
    from rolehost_postgres.server import Server

#: What is pending in a transaction that has run no statement.
BEGIN = "BEGIN;"

F = TypeVar("F", bound=Callable[..., Any])


def _statement(method: F) -> F:
    """Wrap a method that runs a statement.

    Its errors show no values of rows or parameters, and its time is limited
    (:mod:`rolehost_postgres.silence`).
    """

    @wraps(method)
    def run(cursor: Cursor, *args: Any, **kwargs: Any) -> Any:
        connection = cursor.connection
        connection.statements = running = connection.statements + 1
        try:
            return method(cursor, *args, **kwargs)
        except psycopg2.Error as error:
            remove_values(error)
            if connection.abandoned and connection.closed:
                blame_transaction(error)
            raise
        finally:
            connection.statements = running + 1

    return run  # type: ignore[return-value]


class Connection(DriverConnection):
    """A connection in autocommit mode on which transactions begin with a statement.

    Attributes:
        pending: statements to send before the next one, each with a semicolon.
        statements: counts the begins and ends of statements: odd while one runs.
        patience: seconds that a statement waits for its answer; 0 is for ever.
        sessions: the server to ask whether it works on the statement; None if it cannot tell.
        asked: when the server was last asked, monotonic seconds.
        silent: whether the connection was ended because a statement got no answer.
        idle_limit: seconds after which the server ends a transaction without a statement; 0: never.
        abandoned: whether its transaction ran no statement for longer than ``idle_limit``.
        prepared: the PREPARE statements that were sent in its session.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.prepared: set[str] = set()

    pending = ""
    statements = 0
    patience = 0.0
    sessions: Server | None = None
    asked = 0.0
    silent = False
    idle_limit = 0.0
    abandoned = False

    def defer(self, statement: str) -> bool:
        """Send a statement with the next one; False if the transaction has failed already."""
        if self.get_transaction_status() == TRANSACTION_STATUS_INERROR:
            return False
        self.pending += f"{statement};"
        return True

    @property
    def idle(self) -> bool:
        """Whether the server has no open transaction on it, as far as is known."""
        return bool(self.get_transaction_status() == TRANSACTION_STATUS_IDLE)


class Cursor(DriverCursor):
    """A cursor that sends the connection's pending statements before its own."""

    connection: Connection

    @_statement
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        """Run one statement, or several in one text.

        Raises:
            ValueRefused: a parameter cannot be sent.
        """
        try:
            if not self.connection.pending:
                super().execute(query, vars)
            elif self.name is not None or not isinstance(query, (str, bytes)):
                self._send_pending()
                super().execute(query, vars)
            else:
                self._execute_with_pending(query, vars)
        except ValueError as error:
            raise value_error(error, vars) from error

    def mogrify(self, query: Any, vars: Any = None) -> Any:  # noqa: A002 - the driver's name
        """Return a statement with its parameters.

        Raises:
            ValueRefused: a parameter cannot be sent.
        """
        try:
            return super().mogrify(query, vars)
        except ValueError as error:
            raise value_error(error, vars) from error

    @_statement
    def executemany(self, query: Any, vars_list: Any) -> None:
        """Run one statement for each of the parameters."""
        self._send_pending()
        super().executemany(query, vars_list)

    @_statement
    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        """Call a function."""
        self._send_pending()
        return super().callproc(procname, parameters)

    @_statement
    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run COPY."""
        self._send_pending()
        super().copy_expert(sql, file, size)

    @_statement
    def copy_from(self, file: Any, table: str, *args: Any, **kwargs: Any) -> None:
        """Copy from a file."""
        self._send_pending()
        super().copy_from(file, table, *args, **kwargs)

    @_statement
    def copy_to(self, file: Any, table: str, *args: Any, **kwargs: Any) -> None:
        """Copy to a file."""
        self._send_pending()
        super().copy_to(file, table, *args, **kwargs)

    def _send_pending(self) -> None:
        pending = self.connection.pending
        if pending:
            self.connection.pending = ""
            with DriverConnection.cursor(self.connection, cursor_factory=DriverCursor) as cursor:
                cursor.execute(pending)

    def _execute_with_pending(self, query: str | bytes, params: Any) -> None:
        pending = self.connection.pending
        both = pending.encode() + query if isinstance(query, bytes) else pending + query
        try:
            super().execute(both, params)
        except psycopg2.Error:
            if not self.connection.closed and self.connection.idle:
                # The server parses all of a text before it runs any of it, so BEGIN did not run if
                # there is a syntax error: repeat the error inside the transaction. (A savepoint
                # that did not run is found by its ROLLBACK TO, because each has a unique name.)
                self._send_pending()
                super().execute(query, params)
            self.connection.pending = ""
            raise
        self.connection.pending = ""
