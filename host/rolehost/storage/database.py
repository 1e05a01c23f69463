"""Storage kind ``database``: the service database that holds everything that must survive."""

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
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows as tuples."""

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """An open write transaction of the calling thread."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; ``?`` marks a parameter whatever the driver's own style is.

        Raises:
            StorageUnavailable: the server is gone or full.
            peewee.DatabaseError: the statement itself is at fault; a violated constraint is
                peewee.IntegrityError, whatever the driver.
        """

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        """Run the last statement of this transaction, a writing one without RETURNING.

        A backend may commit together with it, so nothing but the end of the transaction may
        follow, and no savepoint may be open.

        Returns:
            Whether it changed a row. When not, the transaction has to be rolled back.

        Raises:
            StorageUnavailable: as :meth:`execute`; it may have been committed.
        """

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""


class Database(StorageClient):
    """One service database, used by one process; made after the fork.

    Connections belong to threads. Code run by the host (a request, a job, a handler, a tick)
    is inside :meth:`session`; a thread that a plugin starts by itself must enter it.
    """

    #: What this backend can do: names of ``CAPABILITIES["database"]``.
    capabilities: ClassVar[frozenset[str]]

    #: Which SQL it speaks; selects migrations and statements that differ.
    dialect: ClassVar[Literal["sqlite", "postgresql"]]

    #: The peewee database that models are bound to. ``peewee.atomic()`` inside
    #: :meth:`transaction` is a savepoint of it.
    peewee: peewee.Database

    @abstractmethod
    def session(self) -> AbstractContextManager[None]:
        """Let the calling thread use connections, lazily; give them back at the end.

        Entering costs nothing until the first statement. Re-entrant.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a write transaction in the calling thread; commit at the end, roll back on error.

        Not re-entrant: the unit of work decides who joins whom.

        Raises:
            StorageError: this thread has a transaction open already.
            StorageBusy: the write lock was not had within the backend's timeout.
            StorageUnavailable: the server cannot be reached or is full.
        """

    @abstractmethod
    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one reading statement in the calling thread's session and return its rows.

        Takes no write lock. Inside :meth:`transaction` it reads within that transaction.

        Raises:
            StorageUnavailable: the server cannot be reached.
        """

    @abstractmethod
    def migration_lock(self) -> AbstractContextManager[None]:
        """Hold the one lock under which migrations run, across all processes and hosts."""

    def migration_transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction for a migration, under the lock and in a session.

        A statement may take as long as it needs in it, but waits for others only so long that
        those who queue up behind it are not held up.

        Raises:
            StorageBusy: others hold what it needs; it may be tried again.
            StorageUnavailable: the server cannot be reached.
        """
        return self.transaction()

    def migration_statement(self, sql: str) -> None:
        """Run one statement of a migration outside of any transaction, where that differs.

        Raises:
            StorageUnavailable: the server cannot be reached.
            peewee.DatabaseError: the statement is at fault.
        """
        with self.transaction() as transaction:
            transaction.execute(sql)

    def connection_limit(self) -> int | None:
        """Ask how many connections the server lets this user open to this database at once.

        Returns:
            The number, less those that it keeps for others; None: it has no limit, or there is
            no server.

        Raises:
            StorageUnavailable: the server cannot be reached.
        """
        return None
