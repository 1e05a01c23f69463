"""Rules for the use of the service database, enforced in the same way for every backend.

1. Code on the event loop of the ``http`` role does not use the database. All coroutines of a
   loop share one thread, so they would share one transaction.
2. A unit of work belongs to one thread of execution (*thread confinement*). While it is open,
   other threads cannot use it, and other contexts cannot use the database in its thread.
3. A transaction is not used after its end.

:mod:`rolehost.delivery.guarded` puts these checks in front of a backend's methods, so a backend
does not have to implement them. The guard also records which errors came from the service
database, and how long a transaction has held SQLite's write lock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType
from typing import Any

import structlog

from rolehost.delivery.locations import call_location, format_location
from rolehost.errors import DatabaseMisused, StorageBusy, StorageUnavailable
from rolehost.storage import Database

log = structlog.get_logger(__name__)

_running_loop = asyncio._get_running_loop
_role_loops: set[Any] = set()
_guards: weakref.WeakSet[Guard] = weakref.WeakSet()

#: The unit of the code in this context: a job, an event, a request or a ``with`` block.
current: ContextVar[Unit | None] = ContextVar("rolehost_scope", default=None)


@contextmanager
def role_loop(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Forbid the use of the database on an event loop while the block lasts."""
    _role_loops.add(loop)
    try:
        yield
    finally:
        _role_loops.discard(loop)


class Unit:
    """The guard's view of a unit of work; its subclass ``scopes.Scope`` has the transaction."""

    __slots__ = (
        "_execution",
        "_statement",
        "_thread",
        "closed",
        "guard",
        "label",
        "opener",
        "savepoints",
        "work",
    )

    def __init__(self, guard: Guard, label: str) -> None:
        self.guard = guard
        self.label = label
        self._execution: Hashable = guard.execution_id()
        self._thread = threading.current_thread()
        self._statement = ""
        #: Number of savepoints (``atomic()``) since it was opened.
        self.savepoints = 0
        #: Code, globals and line of the ``with`` statement that opened it, or None.
        self.opener: tuple[CodeType, dict[str, Any], int] | None = None
        #: Whether it has ended for good, so that no block can join it.
        self.closed = False
        #: The open unit of work; None until the first use of the database.
        self.work: object | None = None

    @property
    def opened_at(self) -> str:
        """The source location of its ``with`` statement, for messages."""
        return self.label if self.opener is None else format_location(*self.opener)

    def is_stale(self) -> bool:
        """Whether the unit's thread has ended (idents are reused), or the unit ended halfway."""
        return self.work is None or self._thread is not threading.current_thread()

    def can_join(self) -> bool:
        """Whether the calling thread can join it."""
        return not self.closed and self._execution == self.guard.execution_id()

    def is_open_elsewhere(self, guard: Guard) -> bool:
        """Whether its transaction on this guard's database is open in another thread."""
        mine = self._execution == guard.execution_id()
        return self.work is not None and self.guard is guard and not mine

    def check_use(self, work: object) -> None:
        """Raise DatabaseMisused if the unit of work has ended, or belongs to another thread."""
        if self.work is not work:
            raise DatabaseMisused(
                f"the unit of work opened at {self.opened_at} has ended; open another one with"
                " services.unit_of_work()"
            )
        if self._execution != self.guard.execution_id():
            raise DatabaseMisused(
                f"the unit of work opened at {self.opened_at} belongs to another thread; use it"
                " in the thread that opened it"
            )

    def statement_failed(self, error: BaseException, location: str) -> None:
        """Record the first failed statement: PostgreSQL then aborts the whole transaction."""
        self._statement = self._statement or (
            f"a statement failed at {location or 'an unknown place'}: {type(error).__name__}"
        )

    def close(self) -> None:
        """Roll back the open transaction; no block can join any more. Idempotent."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Forget the transaction; do not end it: its thread has ended, or it is the parent's."""
        self.closed = True
        self.work = None


class Writing:
    """An open write transaction; ``since`` is in monotonic seconds, ``reported``: it was logged."""

    __slots__ = ("reported", "since", "thread", "unit")

    def __init__(self, unit: Unit | None) -> None:
        self.since = time.monotonic()
        self.thread = threading.get_ident()
        self.unit = unit
        self.reported = False

    def holder(self) -> dict[str, str]:
        """Return the holder and its current location in the code, as fields of a log line."""
        frame = sys._current_frames().get(self.thread)
        try:
            outer, inner = call_location(frame)
        finally:
            del frame  # it may be the frame of this function: see Guard._held
        label = self.unit.label if self.unit is not None else ""
        return {"holder": label or outer or "the host", "at": inner}


class Guard:
    """The rules of one service database in one process; get it from ``guarded.guard_of``.

    ``execution_id`` identifies the calling thread; it is the key of ``units`` and of
    ``lost_writes``, which are messages about writes that were rolled back without an error so far.
    A simulation replaces ``execution_id`` and sets ``simulated_loop``, which returns whether the
    caller runs on the role's event loop. ``single_writer``: a write transaction excludes all
    others, as on SQLite.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: dict[Hashable, Writing] = {}
        self.units: dict[Hashable, Unit] = {}
        self.lost_writes: dict[Hashable, str] = {}
        self.execution_id: Callable[[], Hashable] = threading.get_ident
        self.simulated_loop: Callable[[], bool] | None = None
        self.single_writer = database.dialect == "sqlite"
        _guards.add(self)

    def check(self) -> None:
        """Raise DatabaseMisused if the calling code must not use the database now."""
        # PERF: called several times in each unit of work.
        loop = _running_loop()
        if loop is not None and loop in _role_loops:
            raise DatabaseMisused(_loop_message())
        unit = current.get()
        here = self.units.get(self.execution_id())
        if unit is not here and (here or (unit and unit.work)):
            self._check_owner(unit, here)
        if self.simulated_loop is not None and self.simulated_loop():
            raise DatabaseMisused(_loop_message())

    def _check_owner(self, unit: Unit | None, here: Unit | None) -> None:
        if here is not None and here.is_stale():
            here.abandon()
            self.units.pop(self.execution_id(), None)
            self._writing.pop(self.execution_id(), None)
            here = None
        if here is not None:
            raise DatabaseMisused(
                f"the unit of work opened at {here.opened_at} belongs to another coroutine or"
                " generator of this thread, and is still open; end it before other code of the"
                " thread uses the database"
            )
        if unit is not None and unit.is_open_elsewhere(self):
            raise DatabaseMisused(
                f"the unit of work opened at {unit.opened_at} belongs to another thread and is"
                " still open; use the database in that thread, or here before it is opened"
            )

    def check_end(self) -> None:
        """Raise DatabaseMisused if a transaction is begun or ended inside a unit of work."""
        here = self.units.get(self.execution_id())
        if here is not None:
            raise DatabaseMisused(
                f"the unit of work opened at {here.opened_at} commits or rolls back as a whole"
                " when its block ends; for a part of it use 'with"
                " services.database.peewee.atomic():'"
            )

    def mark_origin(self, error: BaseException) -> None:
        """Record that an error came from the service database."""
        if isinstance(error, StorageUnavailable):
            error.origin = self._database

    def is_outage(self, error: BaseException) -> bool:
        """Return whether an error means that the service database cannot be reached."""
        # Not isinstance(), because it reads the error's __class__, which may be overridden.
        if not issubclass(type(error), StorageUnavailable):
            return False
        try:
            return getattr(error, "origin", None) is self._database
        except Exception:  # a plugin's subclass may override it
            return False

    def statement_failed(self, error: BaseException) -> None:
        """Record a failed statement with its location, in case the transaction is aborted."""
        self.mark_origin(error)
        unit = self.units.get(self.execution_id())
        if unit is not None:
            unit.statement_failed(error, call_location(sys._getframe())[1])

    def savepoint_began(self) -> None:
        """Count a savepoint of the calling thread's unit of work."""
        unit = self.units.get(self.execution_id())
        if unit is not None:
            unit.savepoints += 1

    def report_lost_writes(self, message: str) -> None:
        """Report writes that were rolled back; the end of the session raises an error for them."""
        log.error("writes were rolled back", reason=message)
        self.lost_writes[self.execution_id()] = message

    def transaction_began(self) -> None:
        """Record that the calling thread holds a write transaction."""
        if self.single_writer:
            self._writing[self.execution_id()] = Writing(current.get())

    def transaction_ended(self) -> None:
        """Record that the calling thread's write transaction has ended."""
        if self.single_writer:
            self._writing.pop(self.execution_id(), None)

    def explain_busy(self, error: StorageBusy) -> None:
        """Add the holder of the write lock to an error, if this process holds it."""
        oldest = min(self._held(), key=lambda each: each.since, default=None)
        if oldest is not None:
            seconds = time.monotonic() - oldest.since
            held = oldest.holder()
            error.args = (
                f"{error}; {held['holder']} of this process has had a transaction open for"
                f" {seconds:.1f} s, now at {held['at'] or 'an unknown place'}",
            )

    def long_writes(self, seconds: float) -> list[Writing]:
        """Return the write transactions open for at least ``seconds``, each only once."""
        now = time.monotonic()
        found = [each for each in self._held() if not each.reported and now - each.since >= seconds]
        for each in found:
            each.reported = True
        return found

    def _held(self) -> list[Writing]:
        """Return the write transactions of living threads."""
        # Not sys._current_frames(): its dict and this frame would be a reference cycle. Until the
        # cycle is collected, the variables of other threads stay alive. On SQLite a variable may be
        # a cursor, and the thread's next statements would read the old snapshot of that cursor.
        threads = {thread.ident for thread in threading.enumerate()}
        return [each for each in self._writing.copy().values() if each.thread in threads]

    def forget_after_fork(self) -> None:
        """In a forked child: forget the parent's units of work."""
        for unit in self.units.values():
            unit.abandon()
        self.units.clear()
        self._writing.clear()


def _loop_message() -> str:
    outer, inner = call_location(sys._getframe(2))
    name = outer.partition(" ")[0].rpartition(".")[2]
    kind = "responder" if name.startswith("on_") else "code"
    if name.startswith("process_"):
        kind = "middleware"
    used = f", at {inner}" if inner != outer else ""
    return (
        f"async {kind} {outer or 'of the host'} used the database on the event loop{used}. All"
        " coroutines of the loop share one thread, and would share one transaction. Write"
        " 'await services.run(function, ...)', which calls the function in a thread; or make the"
        " responder or the actor a plain 'def'"
    )


def _after_fork() -> None:
    current.set(None)
    for guard in list(_guards):
        guard.forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
