"""Storage kind ``database`` in memory: SQLite, with readers that never wait and one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal

from rolehost.storage.database import Cursor, Database, Transaction
from rolehost.storage.transactions import PeeweeTransaction
from rolehost.storage.values import check_values

from rolehost_testing.memory import abilities
from rolehost_testing.memory.connections import Connections, raised
from rolehost_testing.memory.interleaving import Interleaving
from rolehost_testing.memory.store import Store


class MemoryDatabase(Database):
    """The database of one process. Several objects on one store behave like several processes.

    Args:
        store: the data.
        interleaving: how threads or simulated threads wait.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.DATABASE
    dialect: ClassVar[Literal["sqlite", "postgresql"]] = "sqlite"

    peewee: Connections

    def __init__(self, store: Store, interleaving: Interleaving) -> None:
        self.store = store
        self.peewee = Connections(store, interleaving)
        self._session = _Session(self.peewee)

    def session(self) -> AbstractContextManager[None]:
        """See :meth:`rolehost.api.Database.session`."""
        return self._session

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See :meth:`rolehost.api.Database.transaction`; enters a session if in none."""
        return _Transaction(self.peewee, self._session, "memory")

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See :meth:`rolehost.api.Database.read`."""
        check_values(params)
        try:
            return self.peewee.driver().execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise raised(error) from error

    @contextmanager
    def migration_lock(self) -> Iterator[None]:
        """See :meth:`rolehost.api.Database.migration_lock`."""
        with self.store.migrating:
            yield

    def ping(self) -> None:
        """See :meth:`rolehost.api.Database.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Database.close`; the next use opens it again."""
        self.store.close_idle()


class _Session:
    """Lets a strand connect. It has no state, so one object serves all strands.

    See :mod:`rolehost_testing.memory.interleaving` for strands.
    """

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> None:
        self._connections.state.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state = self._connections.state
        if state.depth > 1:
            state.depth -= 1
            return
        try:
            self._connections.leave()
        finally:
            self._connections.forget()


class _Transaction(PeeweeTransaction):
    __slots__ = ()

    driver: sqlite3.Connection

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; an error of the statement is raised as peewee's class for it."""
        check_values(params)
        try:
            return self.driver.execute(sql, params)
        except sqlite3.Error as error:
            raise raised(error) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        for row in rows:
            check_values(row)
        try:
            self.driver.executemany(sql, rows)
        except sqlite3.Error as error:
            raise raised(error) from error
