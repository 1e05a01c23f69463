"""SQLite connections: one for each thread, opened at its first use, closed with the thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
from rolehost.api import StorageError, check_values

from rolehost_embedded.failures import storage_error, translate_error
from rolehost_embedded.location import create, make_private, prepare
from rolehost_embedded.locks import FileLock, lock_of

#: Number of new cursors after which references to deleted ones are removed.
_CURSORS = 64
#: Prepared statements that each connection keeps.
_STATEMENTS = 512
#: Bytes to which the write-ahead log is truncated after a checkpoint.
_LOG_LIMIT = 67_108_864


class Connection(sqlite3.Connection):
    """A connection that can end all its reads.

    While a cursor has rows left, SQLite keeps its snapshot: every later statement of the
    connection reads the database as it was then. A cursor may live longer than the session, for
    example in the traceback of an exception that was stored.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: list[weakref.ref[sqlite3.Cursor]] = []

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Return a cursor; ``execute`` of the connection calls this too."""
        made = super().cursor(*args, **options)
        if len(self._cursors) >= _CURSORS:
            self._cursors = [each for each in self._cursors if each() is not None]
        self._cursors.append(weakref.ref(made))
        return made

    def end_reads(self) -> None:
        """Close the cursors that still exist."""
        cursors, self._cursors = self._cursors, []
        for each in cursors:
            found = each()
            if found is not None:
                found.close()


class ThreadState:
    """The state of one thread in one database.

    Attributes:
        depth: number of nested sessions that the thread is in.
        connection: its connection; None before the first statement.
        guard: held while the thread is in a session; then ``close_all()`` keeps its connection.
    """

    __slots__ = ("__weakref__", "closer", "connection", "depth", "guard")

    def __init__(self) -> None:
        self.depth = 0
        self.connection: Connection | None = None
        self.guard = threading.Lock()
        self.closer: weakref.finalize[Any, ThreadState] | None = None

    def keep(self, connection: Connection, lock: FileLock) -> None:
        """Keep a connection; it is closed when the thread ends, at the latest."""
        self.connection = connection
        self.closer = weakref.finalize(self, _end, connection, lock)

    def close(self) -> None:
        """Close the connection; a later statement opens another."""
        if self.closer is not None:
            self.closer()
        self.closer = self.connection = None


def _end(connection: sqlite3.Connection, lock: FileLock) -> None:
    """Close the connection of a thread that ended; release the write lock if it was held."""
    connection.close()
    lock.release_abandoned()


class Connections(peewee.SqliteDatabase):
    """The peewee database: connects by itself, but only inside a session of the thread.

    Every write transaction, peewee's own too, takes the file lock first.
    """

    def __init__(self, path: Path, *, synchronous: str, timeout: float, page_cache: int) -> None:
        self.path = path
        self.lock: FileLock = lock_of(path.with_name(path.name + "-lock"))
        self.closed = False
        self._wait = timeout
        self._local = threading.local()
        self._states: weakref.WeakSet[ThreadState] = weakref.WeakSet()
        self._states_guard = threading.Lock()
        self._checked = False
        super().__init__(
            # mode=rw: SQLite never creates the file; create() does, so that it is private.
            f"file:{quote(os.fsencode(path))}?mode=rw",
            uri=True,
            pragmas={
                "foreign_keys": 1,
                "synchronous": synchronous.upper(),
                "cache_size": -max(page_cache // 1024, 1),
                "journal_size_limit": _LOG_LIMIT,
            },
            timeout=timeout,
            returning_clause=True,
            check_same_thread=False,  # so that close() may close connections of ended threads
            cached_statements=_STATEMENTS,
            factory=Connection,
        )
        _open_databases.add(self)

    @property
    def autoconnect(self) -> bool:
        """Whether the calling thread may connect: inside a session only."""
        return self.state.depth > 0

    @autoconnect.setter
    def autoconnect(self, value: bool) -> None:
        """Ignore the default that peewee's constructor sets."""

    @property
    def state(self) -> ThreadState:
        """The calling thread's state."""
        try:
            return self._local.state  # type: ignore[no-any-return]
        except AttributeError:
            state = self._local.state = ThreadState()
            with self._states_guard:
                self._states.add(state)
            return state

    def driver(self) -> sqlite3.Connection:
        """Return the calling thread's connection; open one if needed.

        Raises:
            StorageError: the thread is in no session, or the database was closed.
            StorageUnavailable: the database cannot be opened.
        """
        state = self.state
        if state.connection is None or self._state.closed:
            if state.depth == 0:
                raise StorageError(f"{self.path}: this thread is in no database.session()")
            self.connect(reuse_if_open=True)
        assert state.connection is not None
        return state.connection

    def _connect(self) -> sqlite3.Connection:
        if self.closed:
            raise StorageError(f"{self.path}: the database was closed in this process")
        if self.path in _inherited:
            raise StorageError(
                f"{self.path}: this process was forked while the database was open; open it"
                " after the fork only"
            )
        if self._checked:
            create(self.path)
        else:
            prepare(self.path)
        try:
            connection: Connection = super()._connect()
        except sqlite3.Error as error:
            raise translate_error(error, self.path) from error
        try:
            self._use_write_ahead_log(connection)
        except sqlite3.Error as error:
            connection.close()
            raise translate_error(error, self.path) from error
        except BaseException:
            connection.close()
            raise
        if not self._checked:
            make_private(self.path)
            self._checked = True
        self.state.keep(connection, self.lock)
        return connection

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return
        # Several processes may open a new file at once, and SQLite's busy time-out does not cover
        # the change of the journal mode.
        self.lock.acquire(self._wait)
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        finally:
            self.lock.release()
        if mode != "wal":
            raise StorageError(f"{self.path}: no write-ahead log is possible here ({mode})")

    def _close(self, conn: sqlite3.Connection) -> None:
        state = self.state
        if state.connection is conn:
            state.close()
        else:
            conn.close()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement of peewee; raise the host's error if the storage fails."""
        check_values(params or ())
        try:
            return super().execute_sql(sql, params)
        except (peewee.PeeweeException, sqlite3.Error) as error:
            known = storage_error(error, self.path)
            if known is not None:
                raise known from error
            raise

    def begin(self, lock_type: str | None = None) -> None:  # noqa: ARG002 - as peewee has it
        """Begin a write transaction; ``lock_type`` is always IMMEDIATE."""
        connection = self.driver()
        state = self.state
        try:
            self.lock.acquire(self._wait, state)
            connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._release_lock(state)
            if isinstance(error, sqlite3.Error):
                raise translate_error(error, self.path) from error
            raise

    def commit(self) -> None:
        """Commit; if that fails, the caller must roll back."""
        try:
            self.driver().execute("COMMIT")
        except sqlite3.Error as error:
            raise translate_error(error, self.path) from error
        self._release_lock(self.state)

    def rollback(self) -> None:
        """Roll back, unless the transaction has ended already; release the write lock."""
        try:
            connection = self.driver()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translate_error(error, self.path) from error
        finally:
            self._release_lock(self.state)

    def _release_lock(self, state: ThreadState) -> None:
        if self.lock.held_by(state):
            self.lock.release()

    def end_session(self, state: ThreadState) -> None:
        """At the end of a session, end its reads and a transaction that was left open."""
        if state.connection is not None:
            state.connection.end_reads()
        open_still = state.connection is not None and state.connection.in_transaction
        if open_still or self.lock.held_by(state):
            self._state.transactions.clear()
            self._clear_commit_callbacks()
            self.rollback()

    def abandon(self, thread: int) -> None:
        """Close the connection of another thread that holds the write lock; release the lock."""
        state = self.lock.holder_in(thread)
        if isinstance(state, ThreadState) and state.connection is not None:
            state.connection.interrupt()
            state.connection.end_reads()
            state.connection.close()
            self.lock.release()

    def close_all(self) -> None:
        """Close the connections of all threads; in a session, when the session ends."""
        self.closed = True
        with self._states_guard:
            states = list(self._states)
        for state in states:
            if state.guard.acquire(blocking=False):
                try:
                    state.close()
                finally:
                    state.guard.release()
        self.lock.discard()

    def forget_after_fork(self) -> None:
        """In a forked child, neither use nor close the parent's connections."""
        for state in list(self._states):
            if state.closer is not None:
                state.closer.detach()
            if state.connection is not None:
                _inherited.setdefault(self.path, []).append(state.connection)
        self._local = threading.local()
        self._states = weakref.WeakSet()
        self._states_guard = threading.Lock()
        self._lock = threading.Lock()
        self._state.reset()


#: In a forked child, the parent's connections by path. They are neither used nor closed, and no
#: other connection to the same file is opened. Within a process, SQLite shares its record of
#: file locks among connections, so the child would inherit locks that are not its own
#: (https://www.sqlite.org/howtocorrupt.html, section 2.6).
_inherited: dict[Path, list[sqlite3.Connection]] = {}
_open_databases: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_open_databases):
        database.forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
