"""The unit of work: one transaction with the jobs and events that leave with it.

A *scope* is what is being delivered in this context: a job, an event, an idempotent request,
or nothing but a ``with`` block. ``unit_of_work()`` opens the scope's transaction when it is
first used and joins it afterwards; the scope ends it, adding its own completion.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from rolehost import failpoints
from rolehost.api.contributions import Actor
from rolehost.api.events import AnyEvent
from rolehost.api.services import Job
from rolehost.delivery import envelope, outbox
from rolehost.delivery.ledger import NewJob
from rolehost.storage import Database, Record, Transaction

if TYPE_CHECKING:
    from rolehost.delivery.engine import Engine

log = structlog.get_logger(__name__)

#: The delivery that code in this context is part of; None outside of any.
current: ContextVar[Scope | None] = ContextVar("rolehost_scope", default=None)


class AlreadyHandled(BaseException):
    """Control flow: the inbox knows this delivery; stop before any effect.

    Not an :class:`Exception`, so that a handler's own ``except Exception`` lets it pass.
    """


class Work:
    """An open unit of work; implements :class:`rolehost.api.UnitOfWork`."""

    __slots__ = ("_after", "_cause", "_engine", "_events", "_wakes", "transaction")

    def __init__(self, engine: Engine, transaction: Transaction, cause: str | None) -> None:
        self._engine = engine
        self._cause = cause
        self._events: list[tuple[Record, str]] = []
        self._wakes: set[str] = set()
        self._after: list[Callable[[], None]] = []
        #: The open transaction; for the host's own statements.
        self.transaction = transaction

    @property
    def database(self) -> Database:
        """The service database."""
        return self._engine.database

    def enqueue(
        self,
        actor: Actor | str,
        /,
        *,
        delay: float | None = None,
        key: str | None = None,
        unique: str | None = None,
        priority: int | None = None,
        **arguments: Any,
    ) -> Job:
        """See :meth:`rolehost.api.UnitOfWork.enqueue`."""
        new = self._new(actor, arguments, delay, priority)._replace(key=key, unique=unique)
        number, created = self._engine.ledger.insert(self.transaction, new)
        if created:
            self._wakes.add(f"queue:{new.queue}")
        return Job(number, new.actor, created)

    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        delay: float | None = None,
        priority: int | None = None,
    ) -> int:
        """See :meth:`rolehost.api.UnitOfWork.enqueue_many`."""
        rows = [self._new(actor, each, delay, priority) for each in arguments]
        if rows:
            self._engine.ledger.insert_many(self.transaction, rows)
            self._wakes.add(f"queue:{rows[0].queue}")
        return len(rows)

    def _new(
        self,
        actor: Actor | str,
        arguments: Mapping[str, Any],
        delay: float | None,
        priority: int | None,
    ) -> NewJob:
        target = self._engine.target(actor)
        now = self._engine.clock.now()
        waits = delay is not None and delay > 0
        return NewJob(
            target.queue,
            target.name,
            "scheduled" if waits else "available",
            target.priority if priority is None else priority,
            now + int((delay or 0) * 1000) if waits else now,
            target.encode(arguments),
            None,
            None,
            now,
            self._cause,
        )

    def publish(self, event: AnyEvent) -> str:
        """See :meth:`rolehost.api.UnitOfWork.publish`."""
        engine = self._engine
        engine.check_topic(event.topic)
        now = engine.clock.now()
        event_id = event.id or new_id(now, engine.random.getrandbits(74))
        record = envelope.to_record(
            event,
            event_id=event_id,
            source=engine.source,
            now=now,
            mode=engine.policy.content_modes.get(event.topic, "binary"),
        )
        self._events.append((record, event_id))
        return event_id

    def after_commit(self, callback: Callable[[], None]) -> None:
        """See :meth:`rolehost.api.UnitOfWork.after_commit`."""
        self._after.append(callback)

    def wake(self, name: str) -> None:
        """Wake the listeners of a name after the commit."""
        self._wakes.add(name)

    def flush(self) -> None:
        """Write what waits until the end: events, so that their order is that of commits."""
        if self._events:
            outbox.append(self.transaction, self._events, self._engine.clock.now())
            self._wakes.add("outbox")
            self._events = []

    def committed(self) -> None:
        """Send wake-ups and run callbacks; the transaction is over."""
        if self._wakes:
            if "outbox" in self._wakes:
                failpoints.reach("outbox.after_commit")
            self._engine.wake(self._wakes)
        for callback in self._after:
            try:
                callback()
            except Exception:
                log.exception("an after-commit callback failed")


class Scope:
    """One delivery and its transaction, opened when first used, by one thread."""

    __slots__ = ("_context", "_engine", "cause", "work")

    def __init__(self, engine: Engine, cause: str | None = None) -> None:
        self._engine = engine
        self._context: AbstractContextManager[Transaction] | None = None
        self.cause = cause
        #: The open unit of work; None while nothing has been written.
        self.work: Work | None = None

    def open(self) -> Work:
        """Return the scope's unit of work, beginning its transaction when there is none."""
        if self.work is None:
            context = self._engine.database.transaction()
            transaction = context.__enter__()
            self._context = context
            self.work = Work(self._engine, transaction, self.cause)
            try:
                self.opened(self.work)
            except BaseException:
                self.roll_back()
                raise
        return self.work

    def opened(self, work: Work) -> None:
        """Write what must come first; scopes with an inbox mark override it."""

    def commit(self, last: Callable[[Transaction], bool] | None = None) -> bool:
        """Commit what was opened; nothing when nothing was.

        Args:
            last: runs the last statement (:meth:`rolehost.api.Transaction.conclude`).

        Returns:
            False when ``last`` said so, and all of it was undone.
        """
        work, context = self.work, self._context
        if work is None or context is None:
            return True
        try:
            work.flush()
            # Before the last statement, with which a backend may commit.
            failpoints.reach("work.before_commit")
            if last is not None and not last(work.transaction):
                self.roll_back()
                return False
        except BaseException:
            self.roll_back()
            raise
        self.work = self._context = None
        context.__exit__(None, None, None)
        failpoints.reach("work.after_commit")
        work.committed()
        return True

    def roll_back(self) -> None:
        """Undo what was opened; nothing when nothing was."""
        context = self._context
        self.work = self._context = None
        if context is not None:
            with suppress(_RollBack):
                context.__exit__(_RollBack, _RollBack(), None)


class _RollBack(Exception):
    """Tells a transaction's context to roll back."""


class Joined:
    """``with services.unit_of_work()``: joins the scope of this context, or makes one."""

    __slots__ = ("_engine", "_own", "_scope", "_session", "_token")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own = False

    def __enter__(self) -> Work:
        scope = current.get()
        if scope is None:
            self._own = True
            self._session = self._engine.database.session()
            self._session.__enter__()
            try:
                scope = Scope(self._engine)
                self._token = current.set(scope)
                self._scope = scope
                return scope.open()
            except BaseException:
                self._leave()
                raise
        self._scope = scope
        return scope.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._scope.roll_back()
            elif self._own:
                self._scope.commit()
        finally:
            if self._own:
                self._leave()

    def _leave(self) -> None:
        current.reset(self._token)
        self._session.__exit__(None, None, None)


def new_id(now: int, bits: int) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7) of a time and 74 random bits."""
    number = (now & (1 << 48) - 1) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    return str(uuid.UUID(int=number | 0b10 << 62 | bits & (1 << 62) - 1))
