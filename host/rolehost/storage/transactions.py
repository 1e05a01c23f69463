"""A write transaction for peewee's models, for authors of ``database`` backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from rolehost.errors import StorageError
from rolehost.storage.database import Cursor


class PeeweeTransaction(ABC):
    """One write transaction of the calling thread; implements :class:`Transaction`.

    It enters a session, begins the transaction, and registers it with peewee, so that
    ``peewee.atomic()`` within it is a savepoint. At the end it commits. After an error, even one of
    the commit, it rolls back.

    Args:
        connections: the peewee database of the backend. Its ``driver()`` returns the calling
            thread's connection.
        session: a session of the backend.
        place: the name of the database in error messages, for example its path.

    Attributes:
        connections: the argument.
        driver: the connection, after the transaction has begun.
    """

    __slots__ = ("_place", "_session", "connections", "driver")

    def __init__(
        self, connections: Any, session: AbstractContextManager[None], place: object
    ) -> None:
        self.connections = connections
        self.driver: Any = None
        self._session = session
        self._place = place

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            StorageError: the thread has a transaction open already.
        """
        connections = self.connections
        self._session.__enter__()
        try:
            if connections.in_transaction():
                raise StorageError(f"{self._place}: this thread has a transaction open already")
            connections.begin()
            try:
                self.driver = connections.driver()
                connections.push_transaction(connections.transaction())
            except BaseException:
                connections.rollback()
                raise
        except BaseException:
            self._session.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Commit, or roll back if there is an error."""
        transaction = self.connections.pop_transaction()
        try:
            if error is not None:
                transaction.rollback(begin=False)
            else:
                try:
                    transaction.commit(begin=False)
                except BaseException:  # an interruption may come after the commit itself
                    transaction.rollback(begin=False)
                    raise
        finally:
            self._session.__exit__(kind, error, traceback)

    @abstractmethod
    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """See :meth:`Transaction.execute`."""

    @abstractmethod
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See :meth:`Transaction.executemany`."""

    def execute_only(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """See :meth:`Transaction.execute_only`. This default commits in a separate call."""
        return self.execute(sql, params)

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        """See :meth:`Transaction.conclude`. This default commits in a separate call."""
        return self.execute(sql, params).rowcount > 0
