"""Handles delivered events: decode, one scope, its inbox mark, retries in place, dead letters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

import msgspec
import structlog
from structlog.contextvars import bind_contextvars

from rolehost import failpoints
from rolehost.api.contributions import Handler
from rolehost.api.events import AnyEvent
from rolehost.api.services import Services
from rolehost.delivery import deadletters, envelope, inbox
from rolehost.delivery.failures import describe, report
from rolehost.delivery.forks import contained
from rolehost.delivery.guard import current
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import AlreadyHandled, Scope
from rolehost.delivery.work import Work
from rolehost.errors import PayloadError, StorageUnavailable
from rolehost.storage import Record

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: The place of a record in its batch, its identity, its event.
_Decoded = tuple[int, str, AnyEvent]

#: What structlog adds to every line of an event. PERF: binding them by name costs much more.
_BOUND = copy_context().run(bind_contextvars, event_id="", group="")
_EVENT_ID, _GROUP = _BOUND["event_id"].var, _BOUND["group"].var


class Stopping(Exception):
    """The process stops before the event could be handled; its offset must not be committed."""


class HandlerContext:
    """The context a handler is given; implements :class:`rolehost.api.EventContext`."""

    __slots__ = ("attempt", "group", "services")

    def __init__(self, services: Services, group: str, attempt: int) -> None:
        self.services = services
        self.group = group
        self.attempt = attempt


class EventScope(Scope):
    """The scope of one event: its inbox mark is the first statement of its unit of work."""

    __slots__ = ("_event", "_group")

    def __init__(self, runtime: DeliveryRuntime, group: str, event: str, label: str) -> None:
        super().__init__(runtime, f"event:{event}", label)
        self._group = group
        self._event = event

    def opened(self, work: Work) -> None:
        """Mark the event; a duplicate stops here."""
        now = self._runtime.clock.now()
        if not inbox.mark(work.transaction, self._group, self._event, now):
            raise AlreadyHandled
        inbox.end(work.transaction, self._group, self._event)
        failpoints.reach("inbox.after_mark")


class Handling:
    """One handler at work in one process; thread-safe.

    Args:
        runtime: the delivery runtime.
        services: handed to the handler.
        handler: what is called.
        wait: sleeps for some seconds before a retry; returns True when the process stops.
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
        self._quarantine = threading.Lock()

    def handle(self, record: Record, *, careful: bool) -> str:
        """Handle one record until it is handled, a duplicate or a dead letter.

        Args:
            record: what the stream handed over.
            careful: record the start, because a process may have died handling it.

        Returns:
            ``handled``, ``duplicate`` or ``dead``.

        Raises:
            Stopping: the process stops; nothing was decided.
        """
        identity = envelope.identity(record)
        runtime = self._runtime
        began = runtime.clock.now()
        before = _EVENT_ID.set(identity), _GROUP.set(self._handler.group)
        try:
            with runtime.database.session():
                outcome = self._guarded(record, identity, careful)
        finally:
            _EVENT_ID.reset(before[0])
            _GROUP.reset(before[1])
        if not runtime.recorder:
            return outcome
        now = runtime.clock.now()
        runtime.recorder.event(
            self._handler.topic,
            self._handler.group,
            outcome,
            max(0, began - record.timestamp) / 1000,
            (now - began) / 1000,
        )
        return outcome

    def _guarded(self, record: Record, identity: str, careful: bool) -> str:
        if not careful:
            return self._attempts(record, identity)
        starts = self._patiently(lambda: self._begin(identity))
        if starts >= self._handler.max_crashes:
            error = f"its process died {starts} times while handling it"
            return self._bury(record, identity, error)
        try:
            if not starts:
                return self._attempts(record, identity)
            # It was being handled when a process died: alone, so that a second death is its own.
            with self._quarantine:
                return self._attempts(record, identity)
        finally:
            # Also when the process stops: a shutdown is no crash.
            self._patiently(lambda: self._ended(identity))

    def _begin(self, identity: str) -> int:
        with self._runtime.database.transaction() as tx:
            return inbox.begin(tx, self._handler.group, identity, self._runtime.clock.now())

    def _ended(self, identity: str) -> None:
        with self._runtime.database.transaction() as tx:
            inbox.end(tx, self._handler.group, identity)

    def _attempts(self, record: Record, identity: str) -> str:
        attempt = 0
        while True:
            attempt += 1
            try:
                # Each time, for a handler may have changed the one before.
                event = envelope.to_event(record, self._decoder)
            except PayloadError as error:
                # No attribute of it is reliable, so it is known by its position.
                text = f"{type(error).__name__}: {error}"
                return self._bury(record, envelope.position(record), text, error)
            try:
                return self._once(event, identity, attempt)
            except failpoints.Crash:
                raise
            except BaseException as error:  # a handler may raise anything, even CancelledError
                if self._runtime.guard.absent(error):
                    # Not the handler's failure: wait for the database, do not count the attempt.
                    attempt -= 1
                    log.warning("database unavailable, event waits", error=str(error))
                    if self._wait(1.0):
                        raise Stopping from error
                    continue
                if self._marked(identity):
                    return "duplicate"
                policy = self._handler.retry
                text = describe(error)
                # Not isinstance(), which asks the error for its __class__: an error may lie.
                fatal = issubclass(type(error), (PayloadError, *policy.fatal))
                if fatal or attempt >= policy.attempts:
                    return self._bury(record, identity, text, error, attempt)
                delay = policy.delay(attempt, self._runtime.random)
                report(
                    log.warning, "handler failed", error, handler=self._handler.name,
                    event_id=identity, attempt=attempt, retry_in=round(delay, 3),
                    error=" ".join(text.split()),
                )  # fmt: skip
            if self._wait(delay):
                raise Stopping

    def _once(self, event: AnyEvent, identity: str, attempt: int) -> str:
        handler = self._handler
        scope = EventScope(self._runtime, handler.group, identity, f"handler {handler.name}")
        token = current.set(scope)
        try:
            context = HandlerContext(self._services, handler.group, attempt)
            contained(handler.fn, context, [event] if handler.batch > 1 else event)
            scope.commit()
        except AlreadyHandled:
            return "duplicate"
        except StorageUnavailable as error:
            scope.busy_is_a_failure(error)
            raise
        finally:
            scope.close()
            current.reset(token)
        return "handled"

    def _marked(self, identity: str) -> bool:
        return self._patiently(
            lambda: inbox.is_marked(self._runtime.database, self._handler.group, identity)
        )

    def _bury(
        self,
        record: Record,
        identity: str,
        text: str,
        error: BaseException | None = None,
        attempt: int = 0,
    ) -> str:
        report(
            log.error,
            "event dead",
            error,
            handler=self._handler.name,
            event_id=identity,
            attempt=attempt,
            error=" ".join(text.split()),
        )

        def write() -> None:
            with self._runtime.database.transaction() as tx:
                now = self._runtime.clock.now()
                deadletters.bury(tx, self._handler, record, identity, text, now)

        self._patiently(write)
        return "dead"

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeat a call to the database until it answers; nothing is skipped meanwhile."""
        while True:
            try:
                return call()
            except StorageUnavailable as error:
                log.warning("storage unavailable, events wait", error=str(error))
            except Exception:
                log.exception("the inbox cannot be written, events wait")
            if self._wait(1.0):
                raise Stopping

    def handle_batch(self, records: Sequence[Record]) -> list[str]:
        """Handle several records in one unit of work; one by one if that fails.

        Those that cannot be decoded are dead letters, and no part of the unit of work.

        Returns:
            For each what :meth:`handle` returns.

        Raises:
            Stopping: the process stops; nothing was decided.
        """
        decoded: list[_Decoded] = []
        outcomes: dict[int, str] = {}
        for place, each in enumerate(records):
            try:
                event = envelope.to_event(each, self._decoder)
                decoded.append((place, envelope.identity(each), event))
            except PayloadError:
                outcomes[place] = self.handle(each, careful=False)
        outcomes.update(self._batch(records, decoded) if decoded else ())
        return [outcomes[place] for place in range(len(records))]

    def _batch(self, records: Sequence[Record], decoded: Sequence[_Decoded]) -> dict[int, str]:
        began = self._runtime.clock.now()
        fresh: list[bool] | None = None
        while fresh is None:
            try:
                with self._runtime.database.session():
                    fresh = self._together(decoded)
            except failpoints.Crash:
                raise
            except BaseException as error:  # a handler may raise anything, even CancelledError
                if self._runtime.guard.absent(error):
                    log.warning("database unavailable, events wait", error=str(error))
                    if self._wait(1.0):
                        raise Stopping from error
                    continue
                log.warning(
                    "batch failed, its events are handled one by one",
                    handler=self._handler.name,
                    count=len(decoded),
                    error=describe(error),
                )
                return {place: self.handle(records[place], careful=False) for place, *_ in decoded}
        outcomes = {
            place: "handled" if new else "duplicate"
            for (place, *_), new in zip(decoded, fresh, strict=True)
        }
        if self._runtime.recorder:
            now = self._runtime.clock.now()
            for place, outcome in outcomes.items():
                self._runtime.recorder.event(
                    self._handler.topic,
                    self._handler.group,
                    outcome,
                    max(0, began - records[place].timestamp) / 1000,
                    (now - began) / 1000,
                )
        return outcomes

    def _together(self, decoded: Sequence[_Decoded]) -> list[bool]:
        group = self._handler.group
        scope = Scope(self._runtime, f"events:{group}", f"handler {self._handler.name}")
        token = current.set(scope)
        try:
            transaction = scope.open().transaction
            now = self._runtime.clock.now()
            identities = [identity for _, identity, _ in decoded]
            marks = inbox.mark_many(transaction, group, identities, now)
            failpoints.reach("inbox.after_mark")
            fresh = [event for (_, _, event), new in zip(decoded, marks, strict=True) if new]
            if fresh:
                contained(self._handler.fn, HandlerContext(self._services, group, 1), fresh)
            scope.commit()
        except StorageUnavailable as error:
            scope.busy_is_a_failure(error)
            raise
        finally:
            scope.close()
            current.reset(token)
        return marks
