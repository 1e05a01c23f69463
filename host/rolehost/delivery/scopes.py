"""Scopes: what a unit of work belongs to, and how it ends.

A *scope* is what is delivered in this context: a job, an event, an idempotent request, or only
a ``with`` block. ``unit_of_work()`` opens the scope's transaction when it is first used and
joins it afterwards; the scope ends it, and adds its own completion.

A scope belongs to one thread of execution. If one of its blocks fails, or has not ended, the
scope cannot commit.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from rolehost import failpoints
from rolehost.delivery.places import raise_site
from rolehost.delivery.work import Work
from rolehost.errors import (
    DatabaseMisused,
    StorageBusy,
    TransactionAborted,
    UnitOfWorkFailed,
)
from rolehost.storage import Transaction

if TYPE_CHECKING:
    from rolehost.delivery.engine import Engine
    from rolehost.delivery.guard import Guard

log = structlog.get_logger(__name__)

#: The delivery that code in this context is part of; None outside of any.
current: ContextVar[Scope | None] = ContextVar("rolehost_scope", default=None)


_SUSPENDABLE = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)


class AlreadyHandled(BaseException):
    """Control flow: the inbox knows this delivery; stop before any effect.

    Not an :class:`Exception`, so that a handler's own ``except Exception`` lets it pass.
    """


class _RollBack(Exception):
    """Tells a transaction's context to roll back."""


class Scope:
    """One delivery and its transaction, opened when first used, by the thread that made it.

    Args:
        engine: the engine.
        cause: what it is, for rows that it enqueues: ``job:12``; None outside of deliveries.
        label: what it is, for people: ``actor shop.bill``; empty when only its code is known.
    """

    __slots__ = (
        "_context",
        "_engine",
        "_failure",
        "_statement",
        "_strand",
        "_thread",
        "blocks",
        "cause",
        "label",
        "opener",
        "over",
        "work",
    )

    def __init__(self, engine: Engine, cause: str | None = None, label: str = "") -> None:
        self._engine = engine
        self._context: AbstractContextManager[Transaction] | None = None
        self._failure = ""
        self._statement = ""
        self._strand: Hashable = engine.guard.strand()
        self._thread = threading.current_thread()
        self.cause = cause
        self.label = label
        #: How many ``with`` blocks of it have begun and not ended.
        self.blocks = 0
        #: Code, globals and line that opened it; None before, or when the host did.
        self.opener: tuple[CodeType, dict[str, Any], int] | None = None
        #: Whether it has ended for good: nothing can join it.
        self.over = False
        #: The open unit of work; None while nothing has been written.
        self.work: Work | None = None

    @property
    def opened_at(self) -> str:
        """Where it was opened, for messages."""
        if self.opener is None:
            return self.label
        code, names, line = self.opener
        return f"{code.co_qualname} ({names.get('__name__', '')}:{line})"

    def open(self) -> Work:
        """Return the scope's unit of work, beginning its transaction when there is none."""
        if self.work is None:
            self._context, transaction = self._begin()
            self.work = Work(self._engine, transaction, self)
            self._engine.guard.units[self._strand] = self
            try:
                self.opened(self.work)
            except BaseException:
                self.roll_back()
                raise
        return self.work

    def _begin(self) -> tuple[AbstractContextManager[Transaction], Transaction]:
        engine = self._engine
        until = time.monotonic() + engine.patience
        while True:
            context = engine.database.transaction()
            try:
                return context, context.__enter__()
            except StorageBusy as error:
                if time.monotonic() >= until:
                    raise
                log.warning("the database is busy, waiting", error=str(error))

    def opened(self, work: Work) -> None:
        """Write what must come first; scopes with an inbox mark override it."""

    def commit(self, last: Callable[[Transaction], bool] | None = None) -> bool:
        """Commit what was opened; nothing when nothing was.

        Args:
            last: runs the last statement (:meth:`rolehost.api.Transaction.conclude`).

        Returns:
            False when ``last`` said so, and all of it was undone.

        Raises:
            UnitOfWorkFailed: a part of it failed, or has not ended; all of it was undone.
        """
        work, statement = self.work, self._statement
        if work is None:
            return True
        try:
            self._refuse_in_part()
            work.flush()
            # Before the last statement, with which a backend may commit.
            failpoints.reach("work.before_commit")
            if last is not None and not last(work.transaction):
                self.roll_back()
                return False
            context = self._let_go()
            assert context is not None  # as long as there is a unit of work
            with _outside():
                context.__exit__(None, None, None)
        except BaseException as error:
            self.roll_back()
            self._engine.guard.blame(error)
            if isinstance(error, TransactionAborted):
                raise UnitOfWorkFailed(_failed(statement or "a statement failed")) from error
            raise
        failpoints.reach("work.after_commit")
        with _outside():
            work.committed()
        return True

    def roll_back(self) -> None:
        """Undo what was opened; nothing when nothing was."""
        context = self._let_go()
        if context is not None:
            with suppress(_RollBack):
                context.__exit__(_RollBack, _RollBack(), None)

    def close(self) -> None:
        """End the scope: undo what is still open. Nothing can join it any more. Idempotent."""
        self.over = True
        self.roll_back()

    def abandon(self) -> None:
        """Forget the transaction without touching it: it is another process's."""
        self.over = True
        self.work = self._context = None

    def end_block(self, error: BaseException | None, *, first: bool, whole: bool) -> None:
        """Count the end of a block that had joined this scope.

        Args:
            error: what left the block; None when it ended well.
            first: it opened the unit of work, so nothing else is in it: all of it is undone,
                and the delivery may go on with another one.
            whole: what the block has written must commit or not as a whole.
        """
        self.blocks -= 1
        if error is None or self.work is None:
            return
        if first and not self.blocks:
            self.roll_back()
        elif whole and not self._failure:
            self._failure = f"a block failed at {raise_site(error)}: {type(error).__name__}"

    def statement_failed(self, error: BaseException, place: str) -> None:
        """Record a failed statement: some databases undo the whole transaction then."""
        self._statement = self._statement or (
            f"a statement failed at {place or 'an unknown place'}: {type(error).__name__}"
        )

    def deny_excuse(self, error: BaseException) -> None:
        """Take back that an error means the database is absent, when it is there.

        A delivery with an open transaction met a lock: that of another transaction, or its own,
        for which another thread of the delivery waited.
        """
        # Its type first: isinstance() asks an error for its __class__, which may raise.
        if self.work is not None and issubclass(type(error), StorageBusy):
            assert isinstance(error, StorageBusy)
            error.origin = None

    def check_use(self, work: Work) -> None:
        """Refuse the use of a unit of work after its end, or by another thread.

        Raises:
            DatabaseMisused: it has ended, or belongs to another thread.
        """
        if self.work is not work:
            raise DatabaseMisused(
                f"the unit of work opened at {self.opened_at} has ended; open another one with"
                " services.unit_of_work()"
            )
        if self._strand != self._engine.guard.strand():
            raise DatabaseMisused(
                f"the unit of work opened at {self.opened_at} belongs to another thread; use it"
                " in the thread that opened it"
            )

    def is_stale(self) -> bool:
        """Whether it is left from a thread of the same ident that has ended, or was interrupted
        while it ended.
        """
        return self.work is None or self._thread is not threading.current_thread()

    def is_here(self) -> bool:
        """Whether it can be joined by the calling thread."""
        return not self.over and self._strand == self._engine.guard.strand()

    def is_open_elsewhere(self, guard: Guard) -> bool:
        """Whether its transaction on this guard's database is open in another thread."""
        return (
            self.work is not None and self._engine.guard is guard and self._strand != guard.strand()
        )

    def _refuse_in_part(self) -> None:
        if self._failure:
            raise UnitOfWorkFailed(_failed(self._failure))
        if self.blocks:
            raise UnitOfWorkFailed(
                f"a block of the unit of work opened at {self.opened_at} has not ended, for"
                " example in a suspended generator, so nothing was committed"
            )

    def _let_go(self) -> AbstractContextManager[Transaction] | None:
        context = self._context
        self.work = self._context = None
        self._failure = self._statement = ""
        units = self._engine.guard.units
        if units.get(self._strand) is self:
            del units[self._strand]
        return context


class BlockScope(Scope):
    """The scope of a ``with`` block outside of any delivery; it has a session of its own."""

    __slots__ = ("_session", "joined")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._session: AbstractContextManager[None] | None = engine.database.session()
        self._session.__enter__()
        #: How many inner blocks have ended well.
        self.joined = 0

    def end_block(self, error: BaseException | None, *, first: bool, whole: bool) -> None:
        """See :meth:`Scope.end_block`."""
        super().end_block(error, first=first, whole=whole)
        self.joined += error is None

    def close(self) -> None:
        """See :meth:`Scope.close`; also ends the session."""
        session, self._session = self._session, None
        try:
            super().close()
        finally:
            if session is not None:
                session.__exit__(None, None, None)

    def abandon(self) -> None:
        """See :meth:`Scope.abandon`."""
        super().abandon()
        self._session = None


class Joined:
    """``with services.unit_of_work()``: joins the scope of this context, or makes one.

    Args:
        engine: the engine.
        single: the block is one call of the unit of work. When it fails, it has written nothing,
            so the unit of work that it had joined can still commit.
    """

    __slots__ = ("_engine", "_first", "_own", "_scope", "_single", "_token")

    def __init__(self, engine: Engine, *, single: bool = False) -> None:
        self._engine = engine
        self._single = single
        self._scope: Scope | None = None

    def __enter__(self) -> Work:
        if self._scope is not None:
            raise DatabaseMisused(
                f"the block of the unit of work opened at {self._scope.opened_at} has not ended;"
                " call services.unit_of_work() for each 'with' statement"
            )
        scope = current.get()
        self._own: BlockScope | None = None
        if scope is None or not scope.is_here():
            scope = self._own = BlockScope(self._engine)
            self._token = current.set(scope)
        self._scope = scope
        self._first = scope.work is None
        try:
            if self._own is None:
                self._engine.guard.check()
            if self._first:
                caller = sys._getframe(1)
                # PERF: a text of it is made only for a message.
                scope.opener = caller.f_code, caller.f_globals, caller.f_lineno
                # While a generator or coroutine is suspended, other code can write in its unit.
                self._first = not caller.f_code.co_flags & _SUSPENDABLE
            work = scope.open()
        except BaseException:
            self._leave()
            raise
        if self._own is None:
            scope.blocks += 1
        return work

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None  # as long as the block lasts
        if scope.over:
            self._leave()
            return
        own = self._own
        if own is None:
            scope.end_block(error, first=self._first, whole=not self._single)
            return
        try:
            if error is None:
                own.commit()
        finally:
            self._leave()
        if isinstance(error, GeneratorExit) and own.joined:
            self._engine.guard.lost(
                f"the generator that opened the unit of work at {own.opened_at} was closed inside"
                " it, so what other code had written in it was rolled back, too"
            )

    def _leave(self) -> None:
        self._scope = None
        if self._own is None:
            return
        # A generator may be closed in another context than it was begun in.
        with suppress(ValueError):
            current.reset(self._token)
        if self._own.is_here():
            self._own.close()


@contextmanager
def _outside() -> Iterator[None]:
    """Let callbacks after a commit be no part of the scope: they have units of their own."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)


def _failed(what: str) -> str:
    return (
        f"{what}. The error was caught, but what failed is part of this unit of work, which"
        " cannot be committed in part: nothing of it was. Let the error pass, or put what may"
        " fail into 'with services.database.peewee.atomic():'"
    )
