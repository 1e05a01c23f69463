"""Rules for the use of the service database, enforced here for every backend.

1. Code on the event loop of the ``http`` role does not use the database: all coroutines of a
   loop share one thread, and so would share one transaction.
2. A unit of work belongs to one thread of execution. While it is open, code of its context in
   another thread is refused, and so is code of another context in its thread.
3. Nothing uses a transaction after its end.

Every use passes one of a few calls: a session or a transaction begins, or peewee takes a cursor
or begins. :func:`guard_of` puts the checks in front of these, in a subclass of the backend's
classes, so that no backend has to know of them. The same calls record which errors came from
the service database, and who has held its write lock for how long.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import TracebackType
from typing import Any

import structlog

from rolehost.delivery.places import call_site
from rolehost.delivery.scopes import Scope, current
from rolehost.errors import DatabaseMisused, StorageBusy, StorageUnavailable
from rolehost.storage import Cursor, Database, Transaction

log = structlog.get_logger(__name__)

#: Statements that begin or end a transaction; a savepoint is part of one. Only the first statement
#: of a text is looked at: bodies of triggers have BEGIN and END, too.
_TRANSACTION_CONTROL = re.compile(
    r"(?:[\s;]|--[^\n]*\n|/\*.*?\*/)*+"
    r"(?:COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)

_running_loop = asyncio._get_running_loop
_role_loops: set[Any] = set()
_guards: weakref.WeakSet[Guard] = weakref.WeakSet()
_installing = threading.Lock()


@contextmanager
def role_loop(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Forbid the use of the database on an event loop while the block lasts."""
    _role_loops.add(loop)
    try:
        yield
    finally:
        _role_loops.discard(loop)


class Writing:
    """An open write transaction.

    Attributes:
        since: when it began, monotonic seconds.
        thread: ident of its thread.
        scope: the unit of work that it belongs to; None when it was begun without one.
        reported: whether it was reported as long.
    """

    __slots__ = ("reported", "scope", "since", "thread")

    def __init__(self, scope: Scope | None) -> None:
        self.since = time.monotonic()
        self.thread = threading.get_ident()
        self.scope = scope
        self.reported = False

    def holder(self) -> dict[str, str]:
        """Say who holds it and where the code is now, as fields of a log line."""
        frame = sys._current_frames().get(self.thread)
        try:
            outer, inner = call_site(frame) if frame is not None else ("", "")
        finally:
            del frame  # it may be this one: see Guard._held
        label = self.scope.label if self.scope is not None else ""
        return {"holder": label or outer or "the host", "at": inner}


class Guard:
    """The rules of one service database in one process; get it from :func:`guard_of`.

    Attributes:
        units: the open unit of work of each thread of execution.
        losses: what was undone in each thread of execution, without an error so far.
        strand: names the calling thread of execution; a simulation has its own.
        simulated_loop: in a simulation, whether the caller runs on the role's event loop.
        single_writer: whether one write transaction keeps out all others.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: dict[Hashable, Writing] = {}
        self.units: dict[Hashable, Scope] = {}
        self.losses: dict[Hashable, str] = {}
        self.strand: Callable[[], Hashable] = threading.get_ident
        self.simulated_loop: Callable[[], bool] | None = None
        self.single_writer = database.dialect == "sqlite"
        _guards.add(self)

    def check(self) -> None:
        """Refuse a use of the database that breaks a rule.

        Raises:
            DatabaseMisused: it does.
        """
        # PERF: asked several times in each unit of work.
        loop = _running_loop()
        if loop is not None and loop in _role_loops:
            raise DatabaseMisused(_loop_message())
        scope = current.get()
        here = self.units.get(self.strand())
        if scope is not here:
            self._check_owner(scope, here)
        if self.simulated_loop is not None and self.simulated_loop():
            raise DatabaseMisused(_loop_message())

    def _check_owner(self, scope: Scope | None, here: Scope | None) -> None:
        if here is not None and here.is_stale():
            here.abandon()
            self.units.pop(self.strand(), None)
            self._writing.pop(self.strand(), None)
            here = None
        if here is not None:
            raise DatabaseMisused(
                f"the unit of work opened at {here.opened_at} belongs to another coroutine or"
                " generator of this thread, and is still open; end it before other code of the"
                " thread uses the database"
            )
        if scope is not None and scope.is_open_elsewhere(self):
            raise DatabaseMisused(
                f"the unit of work opened at {scope.opened_at} belongs to another thread and is"
                " still open; use the database in that thread, or here before it is opened"
            )

    def blame(self, error: BaseException) -> None:
        """Record that an error came from the service database."""
        if isinstance(error, StorageUnavailable):
            error.origin = self._database

    def absent(self, error: BaseException) -> bool:
        """Say whether an error means that the service database is absent."""
        # Not isinstance(), which asks the error for its __class__: an error may lie.
        if not issubclass(type(error), StorageUnavailable):
            return False
        try:
            return getattr(error, "origin", None) is self._database
        except Exception:  # a subclass of the author's, with code of its own
            return False

    def statement_failed(self, error: BaseException) -> None:
        """Record a failed statement with its place, in case that the transaction is aborted."""
        self.blame(error)
        scope = self.units.get(self.strand())
        if scope is not None:
            scope.statement_failed(error, call_site(sys._getframe(2))[1])

    def check_end(self) -> None:
        """Refuse to begin, commit or roll back a transaction inside a unit of work.

        Raises:
            DatabaseMisused: a unit of work is open in this thread.
        """
        here = self.units.get(self.strand())
        if here is not None:
            raise DatabaseMisused(
                f"the unit of work opened at {here.opened_at} commits or rolls back as a whole"
                " when its block ends; for a part of it use 'with"
                " services.database.peewee.atomic():'"
            )

    def lost(self, what: str) -> None:
        """Report at the end of the session that writes of its code were undone."""
        log.error("writes were rolled back", reason=what)
        self.losses[self.strand()] = what

    def began(self) -> None:
        """Record that the calling thread holds a write transaction."""
        if self.single_writer:
            self._writing[self.strand()] = Writing(current.get())

    def ended(self) -> None:
        """Record that it holds none any more."""
        if self.single_writer:
            self._writing.pop(self.strand(), None)

    def explain_busy(self, error: StorageBusy) -> None:
        """Add to an error who of this process holds the write lock."""
        oldest = min(self._held(), key=lambda each: each.since, default=None)
        if oldest is not None:
            seconds = time.monotonic() - oldest.since
            held = oldest.holder()
            error.args = (
                f"{error}; {held['holder']} of this process has had a transaction open for"
                f" {seconds:.1f} s, now at {held['at'] or 'an unknown place'}",
            )

    def long_writes(self, seconds: float) -> list[Writing]:
        """Return the write transactions that are open for longer, each one once."""
        now = time.monotonic()
        found = [each for each in self._held() if not each.reported and now - each.since >= seconds]
        for each in found:
            each.reported = True
        return found

    def _held(self) -> list[Writing]:
        """Return the write transactions of threads that live."""
        # Not sys._current_frames(): the dict would hold this frame, and this frame the dict. Such
        # a cycle keeps what other threads have in their variables until it is collected: on SQLite
        # a cursor, and with it the snapshot that the thread's next statements would read.
        threads = {thread.ident for thread in threading.enumerate()}
        return [each for each in self._writing.copy().values() if each.thread in threads]

    def forget_after_fork(self) -> None:
        """In a forked child: no unit of work of the parent is this process's."""
        for scope in self.units.values():
            scope.abandon()
        self.units.clear()
        self._writing.clear()


def guard_of(database: Database) -> Guard:
    """Return the guard of a database; it is put in place at the first call."""
    found: Guard | None = getattr(database, "_rolehost_guard", None)
    if found is not None:
        return found
    with _installing:
        found = getattr(database, "_rolehost_guard", None)
        if found is None:
            found = Guard(database)
            peewee: Any = database.peewee
            backend: Any = database
            peewee._rolehost_guard = backend._rolehost_guard = found
            peewee.__class__ = _guarded_peewee(peewee.__class__)
            backend.__class__ = _guarded_database(backend.__class__)
        return found


@cache
def _guarded_database(original: type[Any]) -> type[Any]:
    """Return a backend's :class:`Database` class with the checks before its methods."""

    class Guarded(original):  # type: ignore[misc]
        __slots__ = ()
        __qualname__, __module__ = original.__qualname__, original.__module__

        def session(self) -> AbstractContextManager[None]:
            return _Session(self._rolehost_guard, super().session())

        def transaction(self) -> AbstractContextManager[Transaction]:
            return _Transaction(self._rolehost_guard, super().transaction())

        def read(self, sql: str, params: Sequence[Any] = ()) -> Any:
            guard: Guard = self._rolehost_guard
            guard.check()
            try:
                return super().read(sql, params)
            except Exception as error:
                guard.statement_failed(error)
                raise

    Guarded.__name__ = original.__name__
    return Guarded


@cache
def _guarded_peewee(original: type[Any]) -> type[Any]:
    """Return a class of peewee databases with the checks before its methods."""

    class Guarded(original):  # type: ignore[misc]
        __slots__ = ()
        __qualname__, __module__ = original.__qualname__, original.__module__

        def execute_sql(self, sql: Any, *args: Any, **options: Any) -> Any:
            guard: Guard = self._rolehost_guard
            if guard.units and isinstance(sql, str) and _TRANSACTION_CONTROL.match(sql):
                guard.check_end()
            try:
                return super().execute_sql(sql, *args, **options)
            except Exception as error:
                guard.statement_failed(error)
                raise

        def cursor(self, *args: Any, **options: Any) -> Any:
            self._rolehost_guard.check()
            return super().cursor(*args, **options)

        def connect(self, *args: Any, **options: Any) -> Any:
            self._rolehost_guard.check()
            return super().connect(*args, **options)

        def connection(self) -> Any:
            self._rolehost_guard.check()
            return super().connection()

        def begin(self, *args: Any, **options: Any) -> Any:
            guard: Guard = self._rolehost_guard
            guard.check()
            guard.check_end()
            try:
                begun = super().begin(*args, **options)
            except StorageUnavailable as error:
                guard.blame(error)
                if isinstance(error, StorageBusy):
                    guard.explain_busy(error)
                raise
            guard.began()
            return begun

        def transaction(self, *args: Any, **options: Any) -> Any:
            guard: Guard = self._rolehost_guard
            # peewee ignores an inner transaction that fails; a savepoint is undone.
            inside = guard.units.get(guard.strand()) is not None
            return self.savepoint() if inside else super().transaction(*args, **options)

        def commit(self) -> Any:
            self._rolehost_guard.check_end()
            done = super().commit()
            self._rolehost_guard.ended()
            return done

        def rollback(self) -> Any:
            self._rolehost_guard.check_end()
            try:
                return super().rollback()
            finally:
                self._rolehost_guard.ended()

    Guarded.__name__ = original.__name__
    return Guarded


class _Session:
    """A session that is refused where the database must not be used."""

    __slots__ = ("_before", "_guard", "_inner", "_losses")

    def __init__(self, guard: Guard, inner: AbstractContextManager[None]) -> None:
        self._guard = guard
        self._inner = inner

    def __enter__(self) -> None:
        guard = self._guard
        guard.check()
        strand = guard.strand()
        self._before = guard.units.get(strand)
        self._losses = guard.losses.get(strand)
        self._inner.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        guard = self._guard
        left = guard.units.get(guard.strand())
        if left is not None and left is not self._before:
            left.close()
        else:
            left = None
        try:
            self._inner.__exit__(kind, error, trace)
        except StorageUnavailable as raised:
            guard.blame(raised)
            raise
        lost = guard.losses.get(guard.strand())
        if lost is not self._losses:
            guard.losses.pop(guard.strand(), None)
            if lost is not None and error is None:
                raise DatabaseMisused(lost)
        if left is not None and error is None:
            raise DatabaseMisused(
                f"the unit of work opened at {left.opened_at} was still open when the code that"
                " opened it had ended, so it was rolled back; let its block end, also in a"
                " generator"
            )


class _Transaction:
    """A transaction that only its own thread can use, until its end."""

    __slots__ = ("_context", "_guard", "_inner", "_strand")

    def __init__(self, guard: Guard, context: AbstractContextManager[Transaction]) -> None:
        self._guard = guard
        self._context = context
        self._inner: Transaction | None = None

    def __enter__(self) -> Transaction:
        guard = self._guard
        guard.check()
        self._strand = guard.strand()
        try:
            self._inner = self._context.__enter__()
        except StorageUnavailable as error:
            guard.blame(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._inner = None
        try:
            return self._context.__exit__(kind, error, trace)
        except StorageUnavailable as raised:
            self._guard.blame(raised)
            raise

    def _usable(self) -> Transaction:
        if self._inner is None:
            raise DatabaseMisused("this transaction has ended; begin another one")
        if self._strand != self._guard.strand():
            raise DatabaseMisused(
                "this transaction belongs to another thread; use it in the thread that began it"
            )
        return self._inner

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """See :meth:`rolehost.api.Transaction.execute`."""
        inner = self._usable()
        try:
            return inner.execute(sql, params)
        except Exception as error:
            self._guard.statement_failed(error)
            raise

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        """See :meth:`rolehost.api.Transaction.conclude`."""
        inner = self._usable()
        try:
            return inner.conclude(sql, params)
        except StorageUnavailable as error:
            self._guard.blame(error)
            raise

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See :meth:`rolehost.api.Transaction.executemany`."""
        inner = self._usable()
        try:
            inner.executemany(sql, rows)
        except Exception as error:
            self._guard.statement_failed(error)
            raise


def _loop_message() -> str:
    outer, inner = call_site(sys._getframe(2))
    name = outer.partition(" ")[0].rpartition(".")[2]
    kind = "responder" if name.startswith("on_") else "code"
    if name.startswith("process_"):
        kind = "middleware"
    used = f", at {inner}" if inner != outer else ""
    return (
        f"async {kind} {outer or 'of the host'} used the database on the event loop{used}. All"
        " coroutines of the loop share one thread, and would share one transaction. Write"
        " 'await services.run(function, ...)', which calls the function in a thread; or make a"
        " responder a plain 'def'"
    )


def _after_fork() -> None:
    current.set(None)
    for guard in list(_guards):
        guard.forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
