"""The driver's connection and cursor, with ``BEGIN`` sent together with the first statement.

PERF: a transaction of one statement costs two round trips instead of three, and one without a
statement costs none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as DriverConnection
from psycopg2.extensions import cursor as DriverCursor

from rolehost_postgres.failures import blame_transaction, remove_values, value_error

F = TypeVar("F", bound=Callable[..., Any])


def _statement(method: F) -> F:
    """Wrap a method that runs a statement.

    Its errors show no values of rows or parameters, and its time is limited
    (:mod:`rolehost_postgres.silence`).
    """

    @wraps(method)
    def run(cursor: Cursor, *args: Any, **kwargs: Any) -> Any:
        connection = cursor.connection
        connection.statements += 1
        try:
            return method(cursor, *args, **kwargs)
        except psycopg2.Error as error:
            remove_values(error)
            if connection.abandoned and connection.closed:
                blame_transaction(error)
            raise
        finally:
            connection.statements += 1

    return run  # type: ignore[return-value]


class Connection(DriverConnection):
    """A connection in autocommit mode on which transactions begin with a statement.

    Attributes:
        begins: whether a transaction was begun, but BEGIN was not sent yet.
        statements: counts the begins and ends of statements: odd while one runs.
        patience: seconds that a statement waits for its answer; 0 is for ever.
        silent: whether a statement waited longer, so that the connection was ended.
        idle_limit: seconds after which the server ends a transaction without a statement; 0: never.
        abandoned: whether its transaction ran no statement for longer.
    """

    begins = False
    statements = 0
    patience = 0.0
    silent = False
    idle_limit = 0.0
    abandoned = False

    @property
    def idle(self) -> bool:
        """Whether the server has no open transaction on it, as far as is known."""
        return bool(self.get_transaction_status() == TRANSACTION_STATUS_IDLE)


class Cursor(DriverCursor):
    """A cursor that sends BEGIN before the first statement of a transaction."""

    connection: Connection

    @_statement
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        """Run one statement, or several in one text.

        Raises:
            ValueRefused: a parameter cannot be sent.
        """
        try:
            self._execute(query, vars)
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

    def _execute(self, query: Any, vars: Any) -> None:  # noqa: A002 - as above
        if not self.connection.begins:
            super().execute(query, vars)
        elif self.name is not None or not isinstance(query, (str, bytes)):
            self._begin()
            super().execute(query, vars)
        else:
            self._begin_and_execute(query, vars)

    @_statement
    def executemany(self, query: Any, vars_list: Any) -> None:
        """Run one statement for each of the parameters."""
        self._begin()
        super().executemany(query, vars_list)

    @_statement
    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        """Call a function."""
        self._begin()
        return super().callproc(procname, parameters)

    @_statement
    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run COPY."""
        self._begin()
        super().copy_expert(sql, file, size)

    @_statement
    def copy_from(self, file: Any, table: str, *args: Any, **kwargs: Any) -> None:
        """Copy from a file."""
        self._begin()
        super().copy_from(file, table, *args, **kwargs)

    @_statement
    def copy_to(self, file: Any, table: str, *args: Any, **kwargs: Any) -> None:
        """Copy to a file."""
        self._begin()
        super().copy_to(file, table, *args, **kwargs)

    def _begin(self) -> None:
        if self.connection.begins:
            with DriverConnection.cursor(self.connection, cursor_factory=DriverCursor) as cursor:
                cursor.execute("BEGIN")
            self.connection.begins = False

    def _begin_and_execute(self, query: str | bytes, params: Any) -> None:
        both = b"BEGIN;" + query if isinstance(query, bytes) else "BEGIN;" + query
        try:
            super().execute(both, params)
        except psycopg2.Error:
            if not self.connection.closed and self.connection.idle:
                # The server parses all of a text before it runs any of it. After a syntax error
                # BEGIN did not run, so fail again, in a transaction.
                self._begin()
                super().execute(query, params)
            self.connection.begins = False
            raise
        self.connection.begins = False
