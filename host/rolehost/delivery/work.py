"""The unit of work that plugins use: rows, jobs and events that commit together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import structlog

from rolehost import failpoints
from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.api.events import AnyEvent
from rolehost.api.limits import Limits
from rolehost.api.services import Job
from rolehost.api.unique import Unique
from rolehost.delivery import administration, changes, envelope, limitstore, outbox
from rolehost.delivery.guard import Unit
from rolehost.delivery.jobs import (
    FOR_A_PERIOD,
    UNTIL_ENDED,
    UNTIL_STARTED,
    NewJob,
    partition_of,
)
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import PayloadError
from rolehost.failures import describe, report
from rolehost.storage import Database, Record, Transaction

log = structlog.get_logger(__name__)


class Work:
    """An open unit of work; implements :class:`rolehost.api.UnitOfWork`.

    ``cause``: the job, event or request that opened the unit of work, for example ``job:7``. It is
    stored with each job that the unit of work enqueues.
    """

    __slots__ = (
        "_after",
        "_cause",
        "_events",
        "_partitions",
        "_runtime",
        "_unit",
        "_wakes",
        "concluded",
        "single",
        "transaction",
    )

    def __init__(
        self, runtime: DeliveryRuntime, transaction: Transaction, unit: Unit, cause: str | None
    ) -> None:
        self._runtime = runtime
        self._unit = unit
        self._cause = cause
        self._partitions: set[changes.Change] = set()
        self._events: list[tuple[Record, str]] = []
        self._wakes: set[str] = set()
        self._after: list[Callable[[], None]] = []
        #: Whether the transaction contains one operation only, for example ``services.enqueue()``.
        self.single = False
        #: Whether the only statement has run, so that a backend may have committed already.
        self.concluded = False
        #: The open transaction, for the host's own statements.
        self.transaction = transaction

    @property
    def database(self) -> Database:
        """The service database."""
        return self._runtime.database

    def enqueue(
        self,
        actor: Actor | str,
        /,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        key: str | None = None,
        unique: str | Unique | None = None,
        priority: int | None = None,
        partition: str | None = None,
        cause: str | None = None,
        **arguments: Any,
    ) -> Job:
        """See :meth:`rolehost.api.UnitOfWork.enqueue`."""
        self._unit.check_use(self)
        new = self._new(
            actor,
            arguments,
            delay=delay,
            at=at,
            expires_at=expires_at,
            priority=priority,
            partition=partition,
            key=key,
            cause=cause,
        )
        conflict = "keep"
        if unique is not None:
            new, conflict = _with_unique(new, unique)
        number, created = self._insert(new, conflict)
        # Wake workers for an existing job too: claims skipped it while this transaction locked it.
        self._wakes.add(f"queue:{new.queue}")
        return Job(number, new.actor, created)

    def _insert(self, new: NewJob, conflict: str) -> tuple[int, bool]:
        ledger = self._runtime.ledger
        change = new.waits()
        # PERF: on PostgreSQL, one round trip instead of two.
        if self.single and new.unique is None and change is None:
            failpoints.reach("work.before_commit")
            number = ledger.insert_only(self.transaction, new)
            self.concluded = True
            return number, True
        inserted = ledger.insert(self.transaction, new, conflict)
        if change is not None:
            self._partitions.add(change)
        return inserted

    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        key: str | Callable[..., str] | None = None,
        unique: Callable[..., str | Unique] | None = None,
        spread: float | None = None,
        return_jobs: bool = False,
        **options: Any,
    ) -> Any:
        """See :meth:`rolehost.api.UnitOfWork.enqueue_many`."""
        self._unit.check_use(self)
        rows: list[tuple[NewJob, str]] = []
        for each in arguments:
            try:
                own = _call("key", key, each) if callable(key) else key
                new = self._new(actor, each, key=own, **options)
                if unique is None:
                    rows.append((new, "keep"))
                else:
                    rows.append(_with_unique(new, _call("unique", unique, each)))
            except PayloadError as error:
                raise PayloadError(f"job {len(rows)} of enqueue_many(), from 0: {error}") from None
        if spread is not None:
            rows = _spread(rows, spread)
        jobs = self._insert_all(rows, unique=unique is not None, returns=return_jobs)
        if return_jobs:
            return jobs
        return sum(job.created for job in jobs) if unique else len(rows)

    def _insert_all(
        self, rows: Sequence[tuple[NewJob, str]], *, unique: bool, returns: bool
    ) -> list[Job]:
        """Insert jobs; return them, or nothing if neither ``unique`` nor ``returns``."""
        if not rows:
            return []
        ledger, tx = self._runtime.ledger, self.transaction
        new = [row for row, _ in rows]
        inserted: list[tuple[int, bool]] = []
        if unique:
            inserted = ledger.insert_unique(tx, rows)
        elif returns:
            inserted = [(number, True) for number in ledger.insert_returning(tx, new)]
        else:
            ledger.insert_many(tx, new)
        # One change for each partition is enough.
        self._partitions.update(filter(None, (row.waits() for row in new)))
        self._wakes.add(f"queue:{new[0].queue}")
        return [Job(number, new[0].actor, created) for number, created in inserted]

    def _new(
        self,
        actor: Actor | str,
        arguments: Mapping[str, Any],
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        priority: int | None = None,
        partition: str | None = None,
        key: str | None = None,
        cause: str | None = None,
    ) -> NewJob:
        target = self._runtime.target(actor)
        now = self._runtime.clock.now()
        try:
            run_at = _start(now, delay, at)
            expires = None if expires_at is None else _expiry(now, expires_at)
            first = target.priority if priority is None else values.integer("priority", priority)
            if key is not None:
                values.text("key", key)
                if partition is not None:
                    raise ValueError("key and partition exclude each other; a key is a partition")
            elif partition is not None:
                values.text("partition", partition)
            if cause is not None:
                values.text("cause", cause)
        except (TypeError, ValueError) as error:
            raise PayloadError(f"enqueueing actor {target.name}: {error}") from None
        if key is None and partition is None:
            partition = target.partition(arguments)
        limited = (
            key is not None
            or partition is not None
            or self._runtime.limits.applies(target.name, target.queue)
        )
        return NewJob(
            queue=target.queue,
            actor=target.name,
            state="scheduled" if run_at > now else "available",
            priority=first,
            run_at=run_at,
            arguments=target.encode(arguments),
            key=key,
            unique=None,
            enqueued_at=now,
            cause=self._cause if cause is None else cause,
            partition=partition,
            partition_id=partition_of(key, partition, target.queue, target.name).id
            if limited
            else None,
            expires_at=expires,
        )

    def run_now(self, *jobs: int) -> int:
        """See :meth:`rolehost.api.UnitOfWork.run_now`."""
        self._unit.check_use(self)
        runtime = self._runtime
        started = administration.run_now(
            self.transaction, runtime.database.dialect, jobs, runtime.clock.now()
        )
        self._wakes.update(started)
        return len(started)

    def cancel(self, *jobs: int) -> int:
        """See :meth:`rolehost.api.UnitOfWork.cancel`."""
        self._unit.check_use(self)
        tx, now = self.transaction, self._runtime.clock.now()
        done = [found for job in jobs if (found := administration.cancel(tx, job, now))]
        self._wakes.update(wake for _, wake in done)
        return len(done)

    def limit_partition(self, actor: Actor | str, partition: str, limits: Limits | None) -> None:
        """See :meth:`rolehost.api.UnitOfWork.limit_partition`."""
        self._unit.check_use(self)
        target = self._runtime.target(actor)
        name = f"partition:{target.name}/{values.text('partition', partition)}"
        if limits is None:
            limitstore.remove(self.transaction, name)
        elif isinstance(limits, Limits) and limits:
            limitstore.store(self.transaction, name, limits, self._runtime.clock.now())
        else:
            raise TypeError(f"limits must be Limits with a number, or None, not {limits!r:.80}")

    def publish(self, event: AnyEvent) -> str:
        """See :meth:`rolehost.api.UnitOfWork.publish`."""
        self._unit.check_use(self)
        runtime = self._runtime
        runtime.check_topic(event.topic)
        now = runtime.clock.now()
        event_id = event.id or new_id(now, runtime.random.getrandbits(74))
        record = envelope.to_record(
            event,
            event_id=event_id,
            source=runtime.source,
            now=now,
            mode=runtime.policy.content_modes.get(event.topic, "binary"),
        )
        self._events.append((record, event_id))
        return event_id

    def after_commit(self, callback: Callable[[], None]) -> None:
        """See :meth:`rolehost.api.UnitOfWork.after_commit`."""
        self._unit.check_use(self)
        self._after.append(callback)

    def wake(self, name: str) -> None:
        """Wake the listeners of a name after the commit."""
        self._wakes.add(name)

    def flush(self) -> None:
        """Write the changes of partitions, and the events to the *transactional outbox*.

        Called just before the commit, so that the order of rows is close to the order of commits.
        """
        if self._partitions:
            changes.append(self.transaction, self._partitions)
            self._partitions = set()
        if self._events:
            outbox.append(self.transaction, self._events, self._runtime.clock.now())
            self._wakes.add("outbox")
            self._events = []

    def run_after_commit(self) -> None:
        """Send wake-ups and run callbacks; called after the commit."""
        if self._wakes:
            if "outbox" in self._wakes:
                failpoints.reach("outbox.after_commit")
            self._runtime.wake(self._wakes)
        for callback in self._after:
            try:
                callback()
            except failpoints.Crash:
                raise
            except BaseException as error:
                # Interrupts are caught too (time limit, shutdown): the work is committed, so its
                # caller must not see a failure, and the other callbacks run.
                report(log.error, "an after-commit callback failed", error)


def _start(now: int, delay: float | None, at: datetime | None) -> int:
    """Return when a job may run, milliseconds."""
    if at is None:
        return now if delay is None else now + int(values.delay("delay", delay) * 1000)
    if delay is not None:
        raise ValueError("delay and at exclude each other")
    start = values.moment("at", at)
    values.delay("at - now", (start - now) / 1000)
    return max(now, start)


def _call(option: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call the function of a plugin with the arguments of a job."""
    try:
        return function(**arguments)
    except Exception as error:
        raise PayloadError(f"{option}: {describe(error)}") from None


def _spread(rows: Sequence[tuple[NewJob, str]], spread: float) -> list[tuple[NewJob, str]]:
    """Distribute the start times of jobs evenly over some seconds."""
    try:
        step = values.seconds("spread", spread) * 1000 / max(len(rows), 1)
    except (TypeError, ValueError) as error:
        raise PayloadError(f"enqueue_many(): {error}") from None
    later = []
    for index, (new, conflict) in enumerate(rows):
        run_at = new.run_at + int(index * step)
        state = "scheduled" if run_at > new.enqueued_at else "available"
        later.append((new._replace(run_at=run_at, state=state), conflict))
    return later


def _expiry(now: int, expires_at: datetime | float) -> int:
    """Return from when a job does not start any more, milliseconds."""
    if isinstance(expires_at, datetime):
        return values.moment("expires_at", expires_at)
    return now + int(values.seconds("expires_at", expires_at) * 1000)


def _with_unique(
    new: NewJob, unique: str | Unique
) -> tuple[NewJob, Literal["keep", "replace", "move"]]:
    """Add the unique text to a job; return it, and what to do if the text is taken."""
    try:
        wanted = unique if isinstance(unique, Unique) else Unique(unique)
        new = new._replace(unique=values.text("unique", wanted.text))
    except (TypeError, ValueError) as error:
        raise PayloadError(f"enqueueing actor {new.actor}: {error}") from None
    if wanted.until == "started":
        return new._replace(held=UNTIL_STARTED), wanted.conflict
    if wanted.until == "ended":
        return new._replace(held=UNTIL_ENDED), wanted.conflict
    ends = new.enqueued_at + int(wanted.until * 1000)
    return new._replace(held=FOR_A_PERIOD, until=ends), wanted.conflict


def new_id(now: int, bits: int) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7) of a time and 74 random bits."""
    milliseconds = (now & (2**48 - 1)) << 80
    version = 7 << 76
    first = ((bits >> 62) & 0xFFF) << 64
    variant = 0b10 << 62
    second = bits & (2**62 - 1)
    return str(uuid.UUID(int=milliseconds | version | first | variant | second))
