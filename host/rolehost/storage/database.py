"""Storage kind ``database``: the service database, which holds all durable data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from rolehost.storage.client import StorageClient

if TYPE_CHECKING:
    import peewee


class Cursor(Protocol):
    """The part of a PEP 249 cursor that the host uses."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows as tuples."""

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """An open write transaction of the calling thread."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; ``?`` marks a parameter with every driver.

        Raises:
            StorageUnavailable: the server is gone or full.
            peewee.DatabaseError: the statement is wrong. A violated constraint is
                peewee.IntegrityError with every driver.
        """

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        """Run the last statement of this transaction: a write without RETURNING.

        A backend may commit in the same round trip. So no other statement may follow, and no
        savepoint may be open.

        Returns:
            Whether it changed a row. If not, the transaction must be rolled back.

        Raises:
            StorageUnavailable: as :meth:`execute`; the transaction may have been committed.
        """

    def execute_only(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run the only statement of this transaction: an INSERT, UPDATE or DELETE.

        A backend may prepare it, and commit in the same round trip. So no other statement may
        follow.

        Raises:
            StorageUnavailable: as :meth:`execute`; the transaction may have been committed.
        """

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""


class Database(StorageClient):
    """The service database of one process; made after the fork.

    Connections belong to threads. The host enters :meth:`session` for a request, a job, a
    handler or a tick. A thread that a plugin starts must enter it itself.
    """

    #: The capabilities of the backend: names of ``CAPABILITIES["database"]``.
    capabilities: ClassVar[frozenset[str]]

    #: The SQL dialect; selects migrations and statements that differ.
    dialect: ClassVar[Literal["sqlite", "postgresql"]]

    #: The peewee database that models are bound to. Inside :meth:`transaction`,
    #: ``peewee.atomic()`` is a savepoint of the transaction.
    peewee: peewee.Database

    @abstractmethod
    def session(self) -> AbstractContextManager[None]:
        """Let the calling thread use a connection, and give it back at the end. Re-entrant.

        The connection is taken with the first statement.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a write transaction in the calling thread; commit at the end, roll back on error.

        Not re-entrant: joining a transaction is the task of the unit of work.

        Raises:
            StorageError: this thread has a transaction open already.
            StorageBusy: the write lock did not become free within the backend's time-out.
            StorageUnavailable: the server cannot be reached or is full.
        """

    @abstractmethod
    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one read-only statement in the calling thread's session; return its rows.

        Takes no write lock. Inside :meth:`transaction` it reads within that transaction.

        Raises:
            StorageUnavailable: the server cannot be reached.
        """

    @abstractmethod
    def migration_lock(self) -> AbstractContextManager[None]:
        """Hold the migration lock, which all processes on all machines share."""

    def migration_transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction for a migration, under the lock and in a session.

        A statement in it may run for any time, but waits for locks only briefly, because other
        statements would queue up behind it.

        Raises:
            StorageBusy: another transaction holds a lock that a statement needs. The migration may
                be tried again.
            StorageUnavailable: the server cannot be reached.
        """
        return self.transaction()

    def migration_statement(self, sql: str) -> None:
        """Run one statement of a migration, outside of a transaction if the dialect needs that.

        The calling process holds the migration lock.

        Raises:
            StorageUnavailable: the server cannot be reached.
            peewee.DatabaseError: the statement is wrong.
        """
        with self.transaction() as transaction:
            transaction.execute(sql)

    def abandon(self, thread: int) -> None:
        """Roll back the transaction of another thread, which is stuck; its later statements fail.

        The host calls it before it replaces a process. A backend whose server rolls back when the
        process ends, and whose transactions do not lock the whole database, need not implement it.

        Args:
            thread: its :attr:`threading.Thread.ident`.
        """

    def connection_limit(self) -> int | None:
        """Return how many connections this user may have to this database at the same time.

        Returns:
            The server's limit without the connections that it reserves; None if there is no
            limit or no server.

        Raises:
            StorageUnavailable: the server cannot be reached.
        """
        return None
