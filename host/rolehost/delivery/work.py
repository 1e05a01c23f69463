"""The unit of work as its author sees it: rows, jobs and events that leave together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import structlog

from rolehost import failpoints
from rolehost.api import values
from rolehost.api.contributions import Actor
from rolehost.api.events import AnyEvent
from rolehost.api.services import Job
from rolehost.api.unique import Unique
from rolehost.delivery import envelope, outbox
from rolehost.delivery.failures import report
from rolehost.delivery.ledger import FOR_A_PERIOD, UNTIL_ENDED, UNTIL_STARTED, NewJob
from rolehost.errors import PayloadError
from rolehost.storage import Database, Record, Transaction

if TYPE_CHECKING:
    from rolehost.delivery.engine import Engine
    from rolehost.delivery.scopes import Scope

log = structlog.get_logger(__name__)


class Work:
    """An open unit of work; implements :class:`rolehost.api.UnitOfWork`."""

    __slots__ = ("_after", "_cause", "_engine", "_events", "_scope", "_wakes", "transaction")

    def __init__(self, engine: Engine, transaction: Transaction, scope: Scope) -> None:
        self._engine = engine
        self._scope = scope
        self._cause = scope.cause
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
        unique: str | Unique | None = None,
        priority: int | None = None,
        **arguments: Any,
    ) -> Job:
        """See :meth:`rolehost.api.UnitOfWork.enqueue`."""
        self._scope.check_use(self)
        new = self._new(actor, arguments, delay, priority)
        conflict = "keep"
        if key is not None or unique is not None:
            try:
                new, conflict = _options(new, key, unique)
            except (TypeError, ValueError) as error:
                raise PayloadError(f"enqueueing actor {new.actor}: {error}") from None
        number, created = self._engine.ledger.insert(self.transaction, new, conflict)
        # Also for one that is there already: it was held back until this commit.
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
        self._scope.check_use(self)
        rows: list[NewJob] = []
        for each in arguments:
            try:
                rows.append(self._new(actor, each, delay, priority))
            except PayloadError as error:
                raise PayloadError(f"job {len(rows)} of enqueue_many(), from 0: {error}") from None
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
        try:
            waits = 0 if delay is None else int(values.delay("delay", delay) * 1000)
            first = target.priority if priority is None else values.integer("priority", priority)
        except (TypeError, ValueError) as error:
            raise PayloadError(f"enqueueing actor {target.name}: {error}") from None
        return NewJob(
            target.queue,
            target.name,
            "scheduled" if waits else "available",
            first,
            now + waits,
            target.encode(arguments),
            None,
            None,
            now,
            self._cause,
        )

    def publish(self, event: AnyEvent) -> str:
        """See :meth:`rolehost.api.UnitOfWork.publish`."""
        self._scope.check_use(self)
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
        self._scope.check_use(self)
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
            except failpoints.Crash:
                raise
            except BaseException as error:  # it is committed, whatever a callback raises
                report(log.error, "an after-commit callback failed", error)


def _options(
    new: NewJob, key: str | None, unique: str | Unique | None
) -> tuple[NewJob, Literal["keep", "replace", "move"]]:
    """Return a job with its key and unique text, and what a conflict of the latter does."""
    if key is not None:
        new = new._replace(key=values.text("key", key))
    if unique is None:
        return new, "keep"
    wanted = unique if isinstance(unique, Unique) else Unique(unique)
    new = new._replace(unique=values.text("unique", wanted.text))
    if wanted.until == "started":
        return new._replace(held=UNTIL_STARTED), wanted.conflict
    if wanted.until == "ended":
        return new._replace(held=UNTIL_ENDED), wanted.conflict
    ends = new.enqueued_at + int(wanted.until * 1000)
    return new._replace(held=FOR_A_PERIOD, until=ends), wanted.conflict


def new_id(now: int, bits: int) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7) of a time and 74 random bits."""
    number = (now & (1 << 48) - 1) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    return str(uuid.UUID(int=number | 0b10 << 62 | bits & (1 << 62) - 1))
