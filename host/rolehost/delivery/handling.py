"""Handles events: decoding, inbox marks, retries in the same thread, and dead letters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

import msgspec
import structlog
from structlog.contextvars import bind_contextvars

from rolehost import failpoints
from rolehost.api.events import AnyEvent
from rolehost.api.handlers import Handler
from rolehost.api.services import Services
from rolehost.delivery import deadletters, envelope, inbox
from rolehost.delivery.failures import describe, is_fatal, report
from rolehost.delivery.forks import call_exiting_forks
from rolehost.delivery.groups import Group, GroupFailed
from rolehost.delivery.guard import current
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import AlreadyHandled, Scope
from rolehost.delivery.work import Work
from rolehost.errors import PayloadError, StorageUnavailable
from rolehost.storage import Record, Transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: A record, its identity, its event.
_Decoded = tuple[Record, str, AnyEvent]

#: Fields that structlog adds to an event's log lines. PERF: binding them by name costs much more.
_BOUND = copy_context().run(bind_contextvars, event_id="", group="")
_EVENT_ID, _GROUP = _BOUND["event_id"].var, _BOUND["group"].var


class Stopping(Exception):
    """The process stops before the event is handled; its offset must not be committed."""


class HandlerContext(msgspec.Struct, frozen=True, eq=False):
    """The context argument of a handler; implements :class:`rolehost.api.EventContext`."""

    services: Services
    group: str
    attempt: int


class EventScope(Scope):
    """The scope of one event: its inbox mark is the first statement of its unit of work."""

    __slots__ = ("_event", "_group")

    def __init__(self, runtime: DeliveryRuntime, group: str, event: str, label: str) -> None:
        super().__init__(runtime, f"event:{event}", label)
        self._group = group
        self._event = event

    def on_open(self, work: Work) -> None:
        """Mark the event. Raises AlreadyHandled for a duplicate."""
        now = self._runtime.clock.now()
        if not inbox.mark(work.transaction, self._group, self._event, now):
            raise AlreadyHandled
        inbox.end(work.transaction, self._group, self._event)
        failpoints.reach("inbox.after_mark")


class Handling:
    """Runs one handler in one process; thread-safe.

    ``wait`` sleeps for some seconds before a retry, and returns True if the process stops.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        services: Services,
        handler: Handler,
        wait: Callable[[float], bool],
    ) -> None:
        self._runtime = runtime
        self._services = services
        self._handler = handler
        self._wait = wait
        self._decoder: msgspec.json.Decoder[Any] | None = (
            None if handler.payload is bytes else msgspec.json.Decoder(handler.payload)
        )
        # Possible *poison messages* are handled one at a time, so that the next crash of the
        # process is counted for the event that causes it.
        self._quarantine = threading.Lock()

    def handle(self, record: Record, *, suspect: bool) -> str:
        """Handle one record; return ``handled``, ``duplicate`` or ``dead``.

        The start of a ``suspect`` is recorded first, because a process may have died while it
        handled this record. Raises Stopping if the process stops before there is an outcome.
        """
        identity = envelope.identity(record)
        began = self._runtime.clock.now()
        before = _EVENT_ID.set(identity), _GROUP.set(self._handler.group)
        try:
            with self._runtime.database.session():
                if suspect:
                    outcome = self._with_recorded_start(record, identity)
                else:
                    outcome = self._with_retries(record, identity)
        finally:
            _EVENT_ID.reset(before[0])
            _GROUP.reset(before[1])
        self._record(record, outcome, began)
        return outcome

    def _record(self, record: Record, outcome: str, began: int) -> None:
        recorder = self._runtime.recorder
        if recorder:
            waited = max(0, began - record.timestamp) / 1000
            seconds = (self._runtime.clock.now() - began) / 1000
            handler = self._handler
            recorder.event(handler.topic, handler.group, outcome, waited, seconds)

    def _with_recorded_start(self, record: Record, identity: str) -> str:
        group, now = self._handler.group, self._runtime.clock.now
        starts = self._write(lambda tx: inbox.begin(tx, group, identity, now()))
        if starts >= self._handler.max_crashes:
            text = f"its process died {starts} times while handling it"
            return self._add_dead_letter(record, identity, text)
        try:
            if not starts:
                return self._with_retries(record, identity)
            with self._quarantine:
                return self._with_retries(record, identity)
        finally:
            # This runs at a shutdown too, which does not count as a crash.
            self._write(lambda tx: inbox.end(tx, group, identity))

    def _with_retries(self, record: Record, identity: str) -> str:
        handler, runtime = self._handler, self._runtime
        group, attempt = handler.group, 1
        while True:
            try:
                # Decoded for each attempt, because a handler may have changed the event.
                event = envelope.to_event(record, self._decoder)
            except PayloadError as error:
                # The event's attributes are unreliable, so the position identifies the dead letter.
                text = f"{type(error).__name__}: {error}"
                return self._add_dead_letter(record, envelope.position(record), text, error)
            try:
                return self._attempt(event, identity, attempt)
            except failpoints.Crash:
                raise
            except BaseException as error:  # a handler may raise anything, even CancelledError
                if runtime.guard.is_outage(error):
                    # This is not the handler's failure, so the attempt is not counted.
                    log.warning("database unavailable, events wait", error=str(error))
                    self._sleep(1.0, error)
                    continue
                if self._until_answered(lambda: inbox.is_marked(runtime.database, group, identity)):
                    return "duplicate"
                policy = handler.retry
                if is_fatal(error, policy) or attempt >= policy.attempts:
                    return self._add_dead_letter(record, identity, describe(error), error, attempt)
                delay = policy.delay(attempt, runtime.random)
                report(
                    log.warning, "handler failed", error, handler=handler.name,
                    event_id=identity, attempt=attempt, retry_in=round(delay, 3),
                    error=" ".join(describe(error).split()),
                )  # fmt: skip
            self._sleep(delay)
            attempt += 1

    def _attempt(
        self, event: AnyEvent, identity: str, attempt: int, group: Group | None = None
    ) -> str:
        handler = self._handler
        context = HandlerContext(self._services, handler.group, attempt)
        scope = EventScope(self._runtime, handler.group, identity, f"handler {handler.name}")
        scope.group = group
        try:
            argument = [event] if handler.batch > 1 else event
            self._commit(scope, lambda: call_exiting_forks(handler.fn, context, argument))
        except AlreadyHandled:
            return "duplicate"
        return "handled"

    def _commit(self, scope: Scope, call: Callable[[], object]) -> None:
        token = current.set(scope)
        try:
            call()
            scope.commit()
        except StorageUnavailable as error:
            scope.busy_is_a_failure(error)
            raise
        finally:
            scope.close()
            current.reset(token)

    def _add_dead_letter(
        self,
        record: Record,
        identity: str,
        text: str,
        error: BaseException | None = None,
        attempt: int = 0,
    ) -> str:
        report(
            log.error, "event dead", error, handler=self._handler.name, event_id=identity,
            attempt=attempt, error=" ".join(text.split()),
        )  # fmt: skip
        now = self._runtime.clock.now
        self._write(lambda tx: deadletters.add(tx, self._handler, record, identity, text, now()))
        return "dead"

    def _write(self, write: Callable[[Transaction], T]) -> T:

        def call() -> T:
            with self._runtime.database.transaction() as tx:
                return write(tx)

        return self._until_answered(call)

    def _until_answered(self, call: Callable[[], T]) -> T:
        """Repeat a call to the database until it succeeds, so that no event is skipped."""
        while True:
            try:
                return call()
            except StorageUnavailable as error:
                log.warning("database unavailable, events wait", error=str(error))
            except Exception:
                log.exception("a statement of the inbox failed, events wait")
            self._sleep(1.0)

    def _sleep(self, seconds: float, cause: BaseException | None = None) -> None:
        if self._wait(seconds):
            raise Stopping from cause

    def handle_batch(self, records: Sequence[Record]) -> list[str]:
        """Handle several records in one unit of work; if that fails, handle them one by one.

        Records that cannot be decoded become dead letters outside of the unit of work. Returns the
        outcome of each record, and raises Stopping, as :meth:`handle` does.
        """
        outcomes: dict[int, str] = {}
        decoded: dict[int, _Decoded] = {}
        for index, record in enumerate(records):
            try:
                event = envelope.to_event(record, self._decoder)
                decoded[index] = record, envelope.identity(record), event
            except PayloadError:
                outcomes[index] = self.handle(record, suspect=False)
        if decoded:
            outcomes.update(zip(decoded, self._batch(list(decoded.values())), strict=True))
        return [outcomes[index] for index in range(len(records))]

    def _batch(self, decoded: Sequence[_Decoded]) -> list[str]:
        runtime = self._runtime
        began = runtime.clock.now()
        while True:
            try:
                with runtime.database.session():
                    fresh = self._handle_together(decoded)
                break
            except failpoints.Crash:
                raise
            except BaseException as error:  # a handler may raise anything, even CancelledError
                if runtime.guard.is_outage(error):
                    log.warning("database unavailable, events wait", error=str(error))
                    self._sleep(1.0, error)
                    continue
                log.warning(
                    "batch failed, its events are handled one by one",
                    handler=self._handler.name,
                    count=len(decoded),
                    error=describe(error),
                )
                return [self.handle(record, suspect=False) for record, *_ in decoded]
        outcomes = ["handled" if new else "duplicate" for new in fresh]
        for (record, *_), outcome in zip(decoded, outcomes, strict=True):
            self._record(record, outcome, began)
        return outcomes

    def _handle_together(self, decoded: Sequence[_Decoded]) -> list[bool]:
        """Handle decoded records in one unit of work; return for each whether it was new."""
        group, label = self._handler.group, f"handler {self._handler.name}"
        scope = Scope(self._runtime, f"events:{group}", label)
        marks: list[bool] = []

        def call() -> None:
            tx, now = scope.open().transaction, self._runtime.clock.now()
            marks[:] = inbox.mark_many(tx, group, [identity for _, identity, _ in decoded], now)
            failpoints.reach("inbox.after_mark")
            fresh = [event for (_, _, event), new in zip(decoded, marks, strict=True) if new]
            if fresh:
                context = HandlerContext(self._services, group, 1)
                call_exiting_forks(self._handler.fn, context, fresh)

        self._commit(scope, call)
        return marks

    def handle_group(self, records: Sequence[Record]) -> list[bool]:
        """Handle records as members of groups, in order; return False for each to handle alone.

        See :mod:`rolehost.delivery.groups`. The records to handle alone are those that failed,
        later records of their keys, and, after a group that failed as a whole, all the rest.
        """
        done: list[bool] = []
        failed = set[bytes]()
        while len(done) < len(records):
            rest = records[len(done) :]
            began = self._runtime.clock.now()
            group = Group(self._runtime)
            try:
                outcomes = self._run_group(group, rest, failed)
            except GroupFailed as error:
                log.warning(
                    "group rolled back, its events are handled alone",
                    handler=self._handler.name,
                    count=len(rest),
                    error=describe(error.__cause__ or error),
                )
                return done + [False] * len(rest)
            group.report()
            for record, outcome in zip(rest, outcomes, strict=False):
                done.append(outcome is not None)
                if outcome is not None:
                    self._record(record, outcome, began)
        return done

    def _run_group(
        self, group: Group, records: Sequence[Record], failed: set[bytes]
    ) -> list[str | None]:
        """Run members until the group is full, and commit; return None for each to handle alone."""
        outcomes: list[str | None] = []
        with self._runtime.database.session(), group:
            for record in records:
                waits = record.key is not None and record.key in failed
                outcomes.append(None if waits else self._member(group, record))
                if outcomes[-1] is None and record.key is not None:
                    failed.add(record.key)
                if group.full:
                    break
            group.commit()
        return outcomes

    def _member(self, group: Group, record: Record) -> str | None:
        """Return the outcome of a member, or None if it failed."""
        identity = envelope.identity(record)
        before = _EVENT_ID.set(identity), _GROUP.set(self._handler.group)
        try:
            event = envelope.to_event(record, self._decoder)
            return self._attempt(event, identity, 1, group)
        except failpoints.Crash:
            raise
        except BaseException as error:  # a handler may raise anything, even CancelledError
            if group.failure is not None or self._runtime.guard.is_outage(error):
                raise GroupFailed from error
            return None
        finally:
            _EVENT_ID.reset(before[0])
            _GROUP.reset(before[1])
