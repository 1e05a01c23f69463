"""Scopes: owners of units of work, which begin and end their transactions.

A *scope* is one job, event or idempotent request, or only a ``with`` block. ``unit_of_work()``
opens the scope's transaction at the first use and joins it afterwards. The scope commits it
together with the end of the job or event. It cannot commit if a block failed or has not ended.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import structlog

from rolehost import failpoints
from rolehost.delivery.groups import Group
from rolehost.delivery.guard import Unit, current
from rolehost.delivery.locations import raise_location
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.work import Work
from rolehost.errors import DatabaseMisused, StorageBusy, TransactionAborted, UnitOfWorkFailed
from rolehost.storage import Transaction

log = structlog.get_logger(__name__)

_SUSPENDABLE = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)


class AlreadyHandled(BaseException):
    """Stops a duplicate before any effect; a handler's ``except Exception`` does not catch it."""


class _RollBack(Exception):
    """Makes a transaction's context roll back."""


class Scope(Unit):
    """One job, event, request or block, with its transaction, which the first use opens.

    ``cause`` is stored with the jobs that the scope enqueues, for example ``job:12``. ``label`` is
    the scope's name in messages, for example ``actor shop.bill``, or empty. A member of a ``group``
    has a savepoint in the transaction of the group, and commits with the group.
    """

    __slots__ = ("_context", "_failure", "_runtime", "blocks", "cause", "group")

    def __init__(self, runtime: DeliveryRuntime, cause: str | None = None, label: str = "") -> None:
        super().__init__(runtime.guard, label)
        self._runtime = runtime
        self._context: AbstractContextManager[Transaction] | None = None
        self._failure = ""
        self.cause = cause
        #: The group that the scope is a member of, or None.
        self.group: Group | None = None
        #: Number of its open ``with`` blocks.
        self.blocks = 0
        self.work: Work | None = None

    def open(self) -> Work:
        """Return the scope's unit of work; the first call begins its transaction."""
        if self.work is None:
            self._context, transaction = self._begin()
            self.work = Work(self._runtime, transaction, self, self.cause)
            self.guard.units[self._execution] = self
            try:
                self.on_open(self.work)
            except BaseException:
                self.roll_back()
                raise
        return self.work

    def _begin(self) -> tuple[AbstractContextManager[Transaction], Transaction]:
        until = time.monotonic() + self._runtime.busy_timeout
        while True:
            group = self.group
            context = self._runtime.database.transaction() if group is None else group.join(self)
            try:
                return context, context.__enter__()
            except StorageBusy as error:
                if time.monotonic() >= until:
                    raise
                log.warning("the database is busy, waiting", error=str(error))

    def on_open(self, work: Work) -> None:
        """Write the first rows of the transaction; subclasses record an event or a request."""

    def commit(self, last: Callable[[Transaction], bool] | None = None) -> bool:
        """Commit the transaction, if one was opened.

        ``last`` runs the last statement (:meth:`rolehost.api.Transaction.conclude`). If it returns
        False, everything is rolled back, and the result is False. In a group, ``last`` is not
        called; the group runs its own last statements. Raises UnitOfWorkFailed, after a rollback,
        if a block failed or has not ended.
        """
        work, statement = self.work, self._statement
        if work is None:
            return True
        if self.group is not None:
            return self._join(self.group, work)
        try:
            self._refuse_partial_commit()
            work.flush()
            if not work.concluded:
                # Before the last statement, because a backend may send the commit with it.
                failpoints.reach("work.before_commit")
            if last is not None and not last(work.transaction):
                self.roll_back()
                return False
            context = self._detach()
            assert context is not None  # set while there is a unit of work
            _call_outside_scope(context.__exit__, None, None, None)
        except BaseException as error:
            self.roll_back()
            self.guard.mark_origin(error)
            if isinstance(error, TransactionAborted):
                raise UnitOfWorkFailed(_caught_text(statement or "a statement failed")) from error
            raise
        failpoints.reach("work.after_commit")
        _call_outside_scope(work.run_after_commit)
        return True

    def _join(self, group: Group, work: Work) -> bool:
        """Leave the rest of the commit to the group."""
        statement = self._statement
        try:
            self._refuse_partial_commit()
            if statement:
                # A statement failed, and its error was caught. If it aborted the transaction, the
                # release fails. Without the release, the next member would fail.
                group.release()
        except BaseException as error:
            self.roll_back()
            if isinstance(error, TransactionAborted):
                raise UnitOfWorkFailed(_caught_text(statement)) from error
            raise
        context = self._detach()
        assert context is not None  # set while there is a unit of work
        context.__exit__(None, None, None)
        group.works.append(work)
        return True

    def roll_back(self) -> None:
        """Roll back the transaction, if one was opened."""
        context = self._detach()
        if context is not None:
            with suppress(_RollBack):
                context.__exit__(_RollBack, _RollBack(), None)

    def start_again(self) -> None:
        """Roll back the transaction; the next block opens a new one.

        Raises DatabaseMisused if a block has not ended.
        """
        if self.blocks:
            raise DatabaseMisused(
                f"a block of the unit of work opened at {self.opened_at} has not ended; call"
                " roll_back() after it"
            )
        self.roll_back()

    def close(self) -> None:
        """See :meth:`Unit.close`."""
        self.closed = True
        if self._context is not None:
            self.roll_back()

    def abandon(self) -> None:
        """See :meth:`Unit.abandon`."""
        super().abandon()
        self._context = None

    def end_block(self, error: BaseException | None, *, first: bool, whole: bool) -> None:
        """Record the end of a block that had joined this scope, and its error.

        If the failed block was the ``first`` of the unit of work, the unit has no other writes:
        it is rolled back, and the scope may open a new one. If another block fails and its writes
        belong together (``whole``), the scope cannot commit any more.
        """
        self.blocks -= 1
        if error is None or self.work is None:
            return
        if first and not self.blocks:
            self.roll_back()
        elif whole and not self._failure:
            self._failure = f"a block failed at {raise_location(error)}: {type(error).__name__}"

    def busy_is_a_failure(self, error: BaseException) -> None:
        """Count a StorageBusy that was raised inside the transaction as a failed attempt.

        Otherwise the error would mean that the database is unavailable, and no attempt would be
        counted. But the cause may be a lock that another thread of this scope holds
        (*self-deadlock*).
        """
        # issubclass first: isinstance() reads the error's __class__, which may raise.
        if self.work is not None and issubclass(type(error), StorageBusy):
            assert isinstance(error, StorageBusy)
            error.origin = None
            if self.group is not None:
                self.group.fail(error)

    def _refuse_partial_commit(self) -> None:
        if self._failure:
            raise UnitOfWorkFailed(_caught_text(self._failure))
        if self.blocks:
            raise UnitOfWorkFailed(
                f"a block of the unit of work opened at {self.opened_at} has not ended, for"
                " example in a suspended generator, so nothing was committed"
            )

    def _detach(self) -> AbstractContextManager[Transaction] | None:
        """Return the transaction's context, and remove it from the scope."""
        context = self._context
        self.work = self._context = None
        self._failure = self._statement = ""
        units = self.guard.units
        if units.get(self._execution) is self:
            del units[self._execution]
        return context


class BlockScope(Scope):
    """The scope of a ``with`` block outside of any job, event or request, with its own session."""

    __slots__ = ("_session", "joined")

    def __init__(self, runtime: DeliveryRuntime) -> None:
        super().__init__(runtime)
        self._session: AbstractContextManager[None] | None = runtime.database.session()
        self._session.__enter__()
        #: Number of inner blocks that ended without an error.
        self.joined = 0

    def end_block(self, error: BaseException | None, *, first: bool, whole: bool) -> None:
        """See :meth:`Scope.end_block`."""
        super().end_block(error, first=first, whole=whole)
        self.joined += error is None

    def close(self) -> None:
        """See :meth:`Unit.close`; also ends the session."""
        session, self._session = self._session, None
        try:
            super().close()
        finally:
            if session is not None:
                session.__exit__(None, None, None)

    def abandon(self) -> None:
        """See :meth:`Unit.abandon`."""
        super().abandon()
        self._session = None


def current_scope() -> Scope | None:
    """Return the scope of the code in this context, or None."""
    unit = current.get()
    assert unit is None or isinstance(unit, Scope)  # only scopes are set
    return unit


class unit_of_work:
    """``with services.unit_of_work()``: joins the scope of this context, or makes one.

    A ``single`` block contains one operation only, for example ``services.enqueue()``. If it fails,
    it has written nothing, so the unit of work that it joined can still commit.
    """

    __slots__ = ("_first", "_own", "_runtime", "_scope", "_single", "_token")

    def __init__(self, runtime: DeliveryRuntime, *, single: bool = False) -> None:
        self._runtime = runtime
        self._single = single
        self._scope: Scope | None = None

    def __enter__(self) -> Work:
        if self._scope is not None:
            raise DatabaseMisused(
                f"the block of the unit of work opened at {self._scope.opened_at} has not ended;"
                " call services.unit_of_work() for each 'with' statement"
            )
        scope = current_scope()
        self._own: BlockScope | None = None
        if scope is None or not scope.can_join():
            scope = self._own = BlockScope(self._runtime)
            self._token = current.set(scope)
        self._scope = scope
        self._first = scope.work is None
        try:
            if self._own is None:
                self._runtime.guard.check()
            if self._first:
                caller = sys._getframe(1)
                # PERF: the text of the location is made only when a message needs it.
                scope.opener = caller.f_code, caller.f_globals, caller.f_lineno
                # While a generator or coroutine is suspended, other code can write in its unit.
                self._first = not caller.f_code.co_flags & _SUSPENDABLE
            work = scope.open()
        except BaseException:
            self._leave_scope()
            raise
        if self._own is None:
            scope.blocks += 1
        else:
            work.single = self._single
        return work

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None  # set while the block lasts
        if scope.closed:
            self._leave_scope()
            return
        own = self._own
        if own is None:
            scope.end_block(error, first=self._first, whole=not self._single)
            return
        try:
            if error is None:
                own.commit()
        finally:
            self._leave_scope()
        if isinstance(error, GeneratorExit) and own.joined:
            own.guard.report_lost_writes(
                f"the generator that opened the unit of work at {own.opened_at} was closed inside"
                " it, so the writes of other code in it were rolled back, too"
            )

    def _leave_scope(self) -> None:
        self._scope = None
        if self._own is None:
            return
        # A generator may be closed in another context than the one in which it began.
        with suppress(ValueError):
            current.reset(self._token)
        if self._own.can_join():
            self._own.close()


def _call_outside_scope(function: Callable[..., object], *arguments: None) -> None:
    """Call a commit or its callbacks outside of the scope; callbacks open separate units."""
    token = current.set(None)
    try:
        function(*arguments)
    finally:
        current.reset(token)


def _caught_text(failure: str) -> str:
    return (
        f"{failure}. The error was caught, but the code that failed is part of this unit of work,"
        " which commits as a whole, so nothing was committed. Let the error propagate, or put the"
        " code that may fail into 'with services.database.peewee.atomic():'"
    )
