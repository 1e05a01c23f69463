"""SQLite connections: each strand has one from a pool while it is in a session.

A strand is a thread, or a simulated thread (:mod:`rolehost_testing.memory.interleaving`).
"""

from __future__ import annotations

import sqlite3
from typing import Any

import peewee
from rolehost.errors import StorageBusy, StorageError
from rolehost.storage.values import check_values

from rolehost_testing.memory.interleaving import Interleaving
from rolehost_testing.memory.store import Store

#: Prepared statements that each connection keeps.
_STATEMENTS = 512
#: Seconds that a writer waits for the lock.
PATIENCE = 5.0


def raised(error: sqlite3.Error) -> Exception:
    """Return the error to raise for a driver's error: the host's, or peewee's of the same name."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusy(f"memory: {error}")
    wrapper: type[Exception] = getattr(peewee, type(error).__name__, peewee.DatabaseError)
    return wrapper(error, *error.args)


class Strand(peewee._ConnectionState):
    """The state of one strand in one database.

    Attributes:
        depth: number of nested sessions that the strand is in.
        writing: whether the strand holds the writers' lock.
    """

    depth = 0
    writing = False


class Connections(peewee.SqliteDatabase):
    """The peewee database: connects by itself, but only inside a session of the strand."""

    def __init__(self, store: Store, interleaving: Interleaving) -> None:
        self.store = store
        self.interleaving = interleaving
        self._strand = interleaving.strand
        super().__init__(
            store.uri,
            pragmas={"foreign_keys": 1, "journal_mode": "wal", "synchronous": "off"},
            timeout=PATIENCE,
            returning_clause=True,
            uri=True,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
        self.forget()

    @property
    def _state(self) -> Strand:
        """The calling strand's state, instead of the thread's as in peewee."""
        strands = self._strand()
        try:
            return strands[self]  # type: ignore[no-any-return]
        except KeyError:
            state = strands[self] = Strand()
            return state

    @_state.setter
    def _state(self, value: object) -> None:
        """Ignore the state that peewee's constructor sets."""

    @property
    def state(self) -> Strand:
        """The calling strand's state."""
        return self._state

    @property
    def autoconnect(self) -> bool:
        """Whether the calling strand may connect: inside a session only."""
        return self._state.depth > 0

    @autoconnect.setter
    def autoconnect(self, value: bool) -> None:
        """Ignore the default that peewee's constructor sets."""

    def forget(self) -> None:
        """Drop the state of a strand that is in no session."""
        self.interleaving.strand().pop(self, None)

    def driver(self) -> sqlite3.Connection:
        """Return the calling strand's connection.

        Raises:
            StorageError: the strand is in no session.
        """
        state = self._state
        if state.closed:
            if state.depth == 0:
                raise StorageError("memory: this thread is in no database.session()")
            # PERF: this is connect() without its lock and checks, which are not needed here.
            state.set_connection(self._connect())
        connection: sqlite3.Connection = state.conn
        return connection

    def _connect(self) -> sqlite3.Connection:
        try:
            return self.store.idle.pop()
        except IndexError:
            connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]
            self.store.opened(connection)
            return connection

    def _close(self, conn: Any) -> None:
        self.store.idle.append(conn)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement of peewee."""
        check_values(params or ())
        return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]

    def begin(self, lock_type: str | None = None) -> None:  # noqa: ARG002 - as peewee has it
        """Begin a write transaction; wait until no other one is open.

        Raises:
            StorageBusy: the lock did not become free within five seconds.
        """
        connection = self.driver()
        self.interleaving.reach("database.begin")
        if not self.interleaving.locked(self.store.writing, PATIENCE):
            raise StorageBusy(f"memory: another transaction did not end within {PATIENCE} s")
        self._state.writing = True
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._stop_writing()
            if isinstance(error, sqlite3.Error):
                raise raised(error) from error
            raise

    def commit(self) -> None:
        """Commit; if that fails, the caller must roll back."""
        try:
            self.driver().execute("COMMIT")
        except sqlite3.Error as error:
            raise raised(error) from error
        self.store.commits += 1
        self._stop_writing()

    def rollback(self) -> None:
        """Roll back, unless the transaction has ended already; release the write lock."""
        try:
            connection = self.driver()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        finally:
            self._stop_writing()

    def _stop_writing(self) -> None:
        state = self._state
        if state.writing:
            state.writing = False
            self.store.writing.release()

    def leave(self) -> None:
        """At the end of a session, roll back an open transaction and return the connection."""
        state = self._state
        if state.conn is not None:
            if state.writing or state.conn.in_transaction:
                state.transactions.clear()
                self._clear_commit_callbacks()  # type: ignore[attr-defined]
                self.rollback()
            self.store.idle.append(state.conn)
            state.reset()
