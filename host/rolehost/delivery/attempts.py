"""Attempts to handle events: decoding, inbox marks, commits, and dead letters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
from structlog.contextvars import bind_contextvars

from rolehost import failpoints
from rolehost.api.events import AnyEvent
from rolehost.api.handlers import Handler
from rolehost.api.retries import Complete
from rolehost.api.services import Services
from rolehost.delivery import deadletters, envelope, inbox
from rolehost.delivery.around import Around
from rolehost.delivery.coroutines import EndedCoroutine, Stopping
from rolehost.delivery.forks import call_exiting_forks
from rolehost.delivery.groups import Group
from rolehost.delivery.guard import current
from rolehost.delivery.parking import Claim, Failure, Parking
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import AlreadyHandled, Scope
from rolehost.delivery.work import Work
from rolehost.errors import PayloadError, StorageUnavailable
from rolehost.failures import describe, is_fatal, report
from rolehost.storage import Record, Transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Fields that structlog adds to an event's log lines. PERF: binding them by name costs much more.
_BOUND = copy_context().run(bind_contextvars, event_id="", group="")
EVENT_ID, GROUP = _BOUND["event_id"].var, _BOUND["group"].var


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


# gc=False: it is never part of a reference cycle, and there is one for each event.
class Delivery(msgspec.Struct, gc=False):
    """A record, its event's identity, and what is known about earlier attempts.

    ``suspect``: a process may have died while it handled the record, so starts are recorded. If
    ``alone``, the order of its key does not matter. ``claim``: the lane, if the event is parked.
    ``parsed``: for the first attempt. ``event``: for the attempt that begins now. ``coroutine``:
    what its coroutine returned or raised, if that has run before the attempt.
    """

    record: Record
    identity: str
    suspect: bool = False
    alone: bool = False
    attempt: int = 1
    claim: Claim | None = None
    parsed: envelope.Parsed | None = None
    event: AnyEvent | None = None
    coroutine: EndedCoroutine | None = None


class Attempts:
    """Makes attempts of one handler in one process; thread-safe.

    ``wait`` sleeps for some seconds, and returns True if the process stops. Without ``parking``,
    failed events are retried in the calling thread. ``wait_for`` runs the coroutine of a delivery
    (:meth:`enter` and :meth:`begin`), and adds its end to the delivery.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        services: Services,
        handler: Handler,
        wait: Callable[[float], bool],
        parking: Parking | None = None,
        wait_for: Callable[[Attempts, Delivery], object] | None = None,
    ) -> None:
        self._runtime = runtime
        self._services = services
        self.handler = self._handler = handler
        self.is_async = handler.is_async
        self._label = f"handler {handler.name}"
        self._wait = wait
        self._parking = parking
        self._wait_for = wait_for if self.is_async else None
        self._decoder: msgspec.json.Decoder[Any] | None = (
            None if handler.payload is bytes else msgspec.json.Decoder(handler.payload)
        )
        # Possible *poison messages* are handled one at a time, so that the next crash of the
        # process is counted for the event that causes it.
        self._quarantine = threading.Lock()

    def _with_outcome(self, delivery: Delivery, call: Callable[[Delivery], str]) -> str:
        """Call a function that handles a delivery, and record the outcome that it returns."""
        ended, recorder = delivery.coroutine, self._runtime.recorder
        began = 0
        if recorder:
            began = self._runtime.clock.now() if ended is None else ended.began
        before = EVENT_ID.set(delivery.identity), GROUP.set(self._handler.group)
        try:
            with self._runtime.database.session():
                outcome = call(delivery)
        finally:
            EVENT_ID.reset(before[0])
            GROUP.reset(before[1])
        self._record(delivery.record, outcome, began)
        return outcome

    def _record(self, record: Record, outcome: str, began: int) -> None:
        recorder = self._runtime.recorder
        if recorder and outcome != "lost":
            waited = max(0, began - record.timestamp) / 1000
            seconds = (self._runtime.clock.now() - began) / 1000
            handler = self._handler
            recorder.event(handler.topic, handler.group, outcome, waited, seconds)

    def _with_recorded_start(self, delivery: Delivery, run: Callable[[Delivery], str]) -> str:
        group, identity = self._handler.group, delivery.identity
        now = self._runtime.clock.now
        starts = self._write(lambda tx: inbox.begin(tx, group, identity, now()))
        if starts >= self._handler.max_crashes:
            text = f"its process died {starts} times while handling it"
            return self._add_dead_letter(delivery, text)
        try:
            if not starts:
                return run(delivery)
            with self._quarantine:
                return run(delivery)
        finally:
            # This runs at a shutdown too, which does not count as a crash.
            self._write(lambda tx: inbox.end(tx, group, identity))

    def _once(self, delivery: Delivery) -> str | Failure:
        """Make one attempt, as soon as the database answers; return its outcome."""
        # The end of a coroutine can be part of a reference cycle, which a delivery must not be.
        ended, delivery.coroutine = delivery.coroutine, None
        while True:
            try:
                if ended is None:
                    # Decoded for each attempt, because a handler may have changed the event.
                    self.decode(delivery)
            except PayloadError as error:
                # The event's attributes are unreliable, so the position identifies the dead letter.
                delivery.identity = envelope.position(delivery.record)
                return self._add_dead_letter(delivery, f"{type(error).__name__}: {error}", error)
            try:
                if self._wait_for is not None and ended is None:
                    self._wait_for(self, delivery)
                    ended, delivery.coroutine = delivery.coroutine, None
                return self._attempt_inside(delivery, ended=ended)
            except (failpoints.Crash, Stopping):
                raise
            except BaseException as error:  # a handler may raise anything, even CancelledError
                if self._runtime.guard.is_outage(error):
                    # This is not the handler's failure, so the attempt is not counted.
                    log.warning("database unavailable, events wait", error=str(error))
                    if ended is not None and ended.error is not None:
                        ended = None  # the coroutine runs again
                    self._sleep(1.0, error)
                    continue
                return self._failed(delivery, error)

    def decode(self, delivery: Delivery) -> None:
        """Decode the event of a delivery; raises PayloadError."""
        parsed, delivery.parsed = delivery.parsed, None
        delivery.event = envelope.to_event(delivery.record, self._decoder, parsed)

    def _failed(self, delivery: Delivery, error: BaseException) -> str | Failure:
        """Return the outcome of a failed attempt, or when the next attempt follows."""
        runtime, policy, identity = self._runtime, self._handler.retry, delivery.identity
        group, attempt = self._handler.group, delivery.attempt
        if self._until_answered(lambda: inbox.is_marked(runtime.database, group, identity)):
            return "duplicate"
        if is_fatal(error, policy) or attempt >= policy.attempts:
            return self._add_dead_letter(delivery, describe(error), error, attempt)
        delay = policy.delay(attempt, runtime.random)
        failed = Failure(attempt, delay, describe(error), delivery.suspect)
        report(
            log.warning, "handler failed", error, handler=self._handler.name, event_id=identity,
            attempt=attempt, retry_in=round(delay, 3), error=" ".join(failed.error.split()),
        )  # fmt: skip
        return failed

    def enter(self, identity: str, attempt: int) -> Around | None:
        """Enter the middleware around an attempt; None if there is none."""
        name, middleware = self._handler.name, self._runtime.middleware
        return Around.enter(middleware, self._services, "event", name, identity, attempt)

    def begin(self, delivery: Delivery) -> Any:
        """Call the handler; return its result, or its coroutine if it is asynchronous."""
        handler, event = self._handler, delivery.event
        context = HandlerContext(self._services, handler.group, delivery.attempt)
        return call_exiting_forks(handler.fn, context, [event] if handler.batch > 1 else event)

    def _attempt_inside(
        self,
        delivery: Delivery,
        group: Group | None = None,
        ended: EndedCoroutine | None = None,
    ) -> str:
        """Make an attempt inside the middleware."""
        if ended is None and not self._runtime.middleware:  # PERF: usually
            return self._attempt(delivery, group, ended)
        around = None if ended is None else ended.around
        attempt = partial(self._attempt, delivery, group, ended)
        if around is None:
            return self._inside(self.enter(delivery.identity, delivery.attempt), attempt)
        assert around.context is not None  # the coroutine ran in it
        return around.context.run(self._inside, around, attempt)

    @staticmethod
    def _inside(around: Around | None, attempt: Callable[[], str]) -> str:
        """Make an attempt inside the middleware that was entered, and leave it."""
        if around is None:
            return attempt()
        outcome = "failed"
        try:
            outcome = attempt()
            return outcome
        except BaseException as error:
            if issubclass(type(error), Stopping):
                outcome = "interrupted"
            around.execution.exception = error
            raise
        finally:
            around.leave(outcome)

    def _attempt(
        self, delivery: Delivery, group: Group | None, ended: EndedCoroutine | None
    ) -> str:
        handler, claim = self._handler, delivery.claim
        scope = EventScope(self._runtime, handler.group, delivery.identity, self._label)
        scope.group = group
        last = None if claim is None else self._removal(claim, delivery.identity)

        def call() -> None:
            result = self.begin(delivery) if ended is None else ended.result()
            if result is not None and isinstance(result, Complete):
                call_exiting_forks(result.function, *result.args, **result.kwargs)

        try:
            if not self._commit(scope, call, last):
                return "lost"
        except AlreadyHandled:
            return "duplicate"
        if claim is not None:
            claim.ended = claim.removed
        return "handled"

    def _removal(self, claim: Claim, identity: str) -> Callable[[Transaction], bool]:
        """Return the last statements of a unit of work, which remove a parked event."""
        parking = self._parking
        assert parking is not None  # it made the claim
        claim.removed = False  # a handler without a unit of work does not call the statements
        return partial(parking.advance, claim=claim, event=identity)

    def _commit(
        self,
        scope: Scope,
        call: Callable[[], object],
        last: Callable[[Transaction], bool] | None = None,
    ) -> bool:
        token = current.set(scope)
        try:
            call()
            return scope.commit(last)
        except StorageUnavailable as error:
            scope.busy_is_a_failure(error)
            raise
        finally:
            scope.close()
            current.reset(token)

    def _add_dead_letter(
        self,
        delivery: Delivery,
        text: str,
        error: BaseException | None = None,
        attempt: int = 0,
    ) -> str:
        handler, record, identity = self._handler, delivery.record, delivery.identity
        report(
            log.error, "event dead", error, handler=handler.name, event_id=identity,
            attempt=attempt, error=" ".join(text.split()),
        )  # fmt: skip
        now = self._runtime.clock.now

        def add(tx: Transaction) -> None:
            deadletters.add(tx, handler, record, identity, text, now())

        if delivery.claim is None:
            self._write(add)
            return "dead"
        return "dead" if self._end(delivery.claim, identity, add) else "lost"

    def _end(
        self, claim: Claim, identity: str, write: Callable[[Transaction], None] | None = None
    ) -> bool:
        """Remove a parked event, and write its dead letter; return False if the claim is lost."""
        parking = self._parking
        assert parking is not None  # it made the claim

        def end(tx: Transaction) -> bool:
            ours = parking.advance(tx, claim, identity, dead=write is not None)
            if ours and write is not None:
                write(tx)
            return ours

        claim.ended = self._write(end)
        return claim.ended

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
