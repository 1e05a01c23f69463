"""Runs the guard's checks before a backend's methods, in subclasses of the backend's classes.

Every use of a database begins with one of a few calls: a session or transaction of the backend, or
a cursor or transaction of peewee. :func:`guard_of` replaces the class of both objects, so a
backend's author does not need to know the rules.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from rolehost.delivery.guard import Guard
from rolehost.errors import DatabaseMisused, StorageBusy, StorageUnavailable
from rolehost.storage import Cursor, Database, Transaction

#: Statements that begin or end a transaction, except savepoints. Only the first statement of a
#: text is checked, because bodies of triggers also contain BEGIN and END.
_TRANSACTION_CONTROL = re.compile(
    r"(?:[\s;]|--[^\n]*\n|/\*.*?\*/)*+"
    r"(?:COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_installing = threading.Lock()


def guard_of(database: Database) -> Guard:
    """Return the guard of a database; the first call installs it."""
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
    """Return a subclass of a peewee database class; its methods run the checks first.

    It has no mixin, because ``__class__`` cannot be assigned if there is a second base class.
    """
    guarded = _guarded_transactions(_guarded_statements(original))
    guarded.__name__, guarded.__qualname__ = original.__name__, original.__qualname__
    guarded.__module__ = original.__module__
    return guarded


def _guarded_statements(original: type[Any]) -> type[Any]:
    class Guarded(original):  # type: ignore[misc]
        __slots__ = ()

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

    return Guarded


def _guarded_transactions(original: type[Any]) -> type[Any]:
    class Guarded(original):  # type: ignore[misc]
        __slots__ = ()

        def begin(self, *args: Any, **options: Any) -> Any:
            guard: Guard = self._rolehost_guard
            guard.check()
            guard.check_end()
            try:
                begun = super().begin(*args, **options)
            except StorageUnavailable as error:
                guard.mark_origin(error)
                if isinstance(error, StorageBusy):
                    guard.explain_busy(error)
                raise
            guard.transaction_began()
            return begun

        def transaction(self, *args: Any, **options: Any) -> Any:
            guard: Guard = self._rolehost_guard
            # peewee rolls back a savepoint that fails, but not an inner transaction.
            inside = guard.units.get(guard.execution_id()) is not None
            return self.savepoint() if inside else super().transaction(*args, **options)

        def savepoint(self) -> Any:
            self._rolehost_guard.savepoint_began()
            return super().savepoint()

        def commit(self) -> Any:
            self._rolehost_guard.check_end()
            done = super().commit()
            self._rolehost_guard.transaction_ended()
            return done

        def rollback(self) -> Any:
            self._rolehost_guard.check_end()
            try:
                return super().rollback()
            finally:
                self._rolehost_guard.transaction_ended()

    return Guarded


class _Session:
    """A session that checks the rules, and rejects units of work that are open at its end."""

    __slots__ = ("_before", "_execution", "_guard", "_inner", "_lost_writes")

    def __init__(self, guard: Guard, inner: AbstractContextManager[None]) -> None:
        self._guard = guard
        self._inner = inner

    def __enter__(self) -> None:
        guard = self._guard
        guard.check()
        self._execution = execution_id = guard.execution_id()
        self._before = guard.units.get(execution_id)
        self._lost_writes = guard.lost_writes.get(execution_id)
        self._inner.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        guard = self._guard
        execution_id = self._execution
        left = guard.units.get(execution_id)
        if left is not None and left is not self._before:
            left.close()
        else:
            left = None
        try:
            self._inner.__exit__(kind, error, trace)
        except StorageUnavailable as raised:
            guard.mark_origin(raised)
            raise
        lost = guard.lost_writes.get(execution_id)
        if lost is not self._lost_writes:
            guard.lost_writes.pop(execution_id, None)
            if lost is not None and error is None:
                raise DatabaseMisused(lost)
        if left is not None and error is None:
            raise DatabaseMisused(
                f"the unit of work opened at {left.opened_at} was still open when the code that"
                " opened it had ended, so it was rolled back; let its block end, also in a"
                " generator"
            )


class _Transaction:
    """A transaction that can be used only in the thread that began it, until its end."""

    __slots__ = ("_context", "_execution", "_guard", "_inner")

    def __init__(self, guard: Guard, context: AbstractContextManager[Transaction]) -> None:
        self._guard = guard
        self._context = context
        self._inner: Transaction | None = None

    def __enter__(self) -> Transaction:
        guard = self._guard
        guard.check()
        self._execution = guard.execution_id()
        try:
            self._inner = self._context.__enter__()
        except StorageUnavailable as error:
            guard.mark_origin(error)
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        self._inner = None
        try:
            return self._context.__exit__(kind, error, trace)
        except StorageUnavailable as raised:
            self._guard.mark_origin(raised)
            raise

    def _checked(self) -> Transaction:
        if self._inner is None:
            raise DatabaseMisused("this transaction has ended; begin another one")
        if self._execution != self._guard.execution_id():
            raise DatabaseMisused(
                "this transaction belongs to another thread; use it in the thread that began it"
            )
        return self._inner

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        inner = self._checked()
        try:
            return inner.execute(sql, params)
        except Exception as error:
            self._guard.statement_failed(error)
            raise

    def execute_only(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        inner = self._checked()
        try:
            return inner.execute_only(sql, params)
        except Exception as error:
            self._guard.statement_failed(error)
            raise

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        inner = self._checked()
        try:
            inner.executemany(sql, rows)
        except Exception as error:
            self._guard.statement_failed(error)
            raise

    def conclude(self, sql: str, params: Sequence[Any] = ()) -> bool:
        inner = self._checked()
        try:
            return inner.conclude(sql, params)
        except StorageUnavailable as error:
            self._guard.mark_origin(error)
            raise
