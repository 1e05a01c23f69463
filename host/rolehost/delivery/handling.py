"""Handles events: singly, in batches, in groups; parks those that fail.

A failed event is parked (:mod:`rolehost.delivery.parking`), so that its retry occupies no thread.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial

import structlog

from rolehost import failpoints
from rolehost.api.events import AnyEvent
from rolehost.delivery import envelope, inbox
from rolehost.delivery.attempts import (
    EVENT_ID,
    GROUP,
    Attempts,
    Delivery,
    HandlerContext,
)
from rolehost.delivery.forks import call_exiting_forks
from rolehost.delivery.groups import Group, GroupFailed
from rolehost.delivery.parking import Claim, Failure, Parking, lane_of
from rolehost.delivery.scopes import Scope
from rolehost.errors import PayloadError
from rolehost.failures import describe
from rolehost.storage import Record

log = structlog.get_logger(__name__)

#: A record, its identity, its event.
_Decoded = tuple[Record, str, AnyEvent]


class Handling(Attempts):
    """Runs one handler in one process; thread-safe. The arguments are those of its base class."""

    def handle(self, record: Record, *, suspect: bool, alone: bool = False) -> str:
        """Handle one record; return ``handled``, ``duplicate``, ``parked`` or ``dead``.

        The start of a ``suspect`` is recorded first, because a process may have died while it
        handled this record. If ``alone``, the order of its key does not matter. Raises Stopping if
        the process stops before there is an outcome.
        """
        identity, parsed = envelope.identified(record)
        delivery = Delivery(record, identity, suspect, alone, parsed=parsed)
        return self._with_outcome(delivery, self._handle)

    def ready(self, record: Record) -> Delivery | None:
        """Return a delivery whose coroutine may run before :meth:`go_on`.

        None: :meth:`handle` must run first, because its lane may be parked, or to decode it.
        """
        parking = self._parking
        identity, parsed = envelope.identified(record)
        known = parking is None or parking.known
        if not known or _lane_in(parking.lanes if parking else (), record, identity):
            return None
        return self.decoded(Delivery(record, identity, parsed=parsed))

    def decoded(self, delivery: Delivery) -> Delivery | None:
        """Return a delivery with its event; None if that cannot be decoded."""
        with suppress(PayloadError):
            self.decode(delivery)
            return delivery
        return None

    def go_on(self, delivery: Delivery) -> str:
        """Handle a delivery after its coroutine, as :meth:`handle` does."""
        return self._with_outcome(delivery, self._with_retries)

    def _handle(self, delivery: Delivery) -> str:
        parking = self._parking
        # PERF: usually the group has no parked events.
        if parking is not None and (parking.lanes or not parking.known):
            record, identity = delivery.record, delivery.identity
            lane = _lane_in(self._parked(), record, identity, delivery.alone)
            if lane is not None and self._join(lane, record, identity):
                return "parked"
        if delivery.suspect:
            return self._with_recorded_start(delivery, self._with_retries)
        return self._with_retries(delivery)

    def _with_retries(self, delivery: Delivery) -> str:
        while True:
            ended = self._once(delivery)
            if isinstance(ended, str):
                return ended
            parking = self._parking
            if parking is not None and not parking.full:
                self._park(parking, delivery, ended)
                return "parked"
            self._sleep(ended.delay)
            delivery.attempt += 1

    def _park(self, parking: Parking, delivery: Delivery, failed: Failure) -> None:
        record, identity = delivery.record, delivery.identity
        lane = lane_of(record, identity, alone=delivery.alone)
        self._write(lambda tx: parking.park(tx, lane, record, identity, failed))
        if record.key is not None and not delivery.alone:
            parking.add([lane])
        parking.schedule(failed.delay)

    def _parked(self) -> Collection[bytes]:
        """Return the lanes that may have parked events."""
        parking = self._parking
        if parking is None:
            return ()
        if not parking.known:
            self._until_answered(parking.load)
        return parking.lanes

    def _join(self, lane: bytes, record: Record, identity: str) -> bool:
        """Park an event behind those of its lane; return False if none are parked any more."""
        parking = self._parking
        assert parking is not None  # it knows the lane
        while True:
            full = parking.full
            join = partial(parking.join, lane=lane, record=record, event=identity, full=full)
            if not self._write(join):
                return False
            if not full:
                return True
            self._sleep(1.0)

    def first_parked(self, claim: Claim) -> Delivery | None:
        """Return the first event of a claimed lane; None if it was removed."""
        assert self._parking is not None  # it made the claim
        with self._runtime.database.session():
            found = self._parking.first(claim)
        if found is None:
            return None
        identity, record = found
        return Delivery(record, identity, claim.suspect, attempt=claim.attempt + 1, claim=claim)

    def handle_parked(self, claim: Claim, delivery: Delivery | None = None) -> bool:
        """Make an attempt of the first event of a claimed lane; return whether the claim goes on.

        ``delivery`` is that event, if its coroutine has ended. Raises Stopping if the process
        stops before there is an outcome.
        """
        delivery = delivery or self.first_parked(claim)
        if delivery is None:
            return False
        self._with_outcome(delivery, self._handle_claimed)
        if not claim.ended or not claim.more:
            return False
        claim.attempt, claim.suspect = 0, False
        return True

    def _handle_claimed(self, delivery: Delivery) -> str:
        claim, parking = delivery.claim, self._parking
        assert claim is not None  # the caller claimed the lane
        assert parking is not None  # it made the claim
        run = self._retry
        outcome = self._with_recorded_start(delivery, run) if delivery.suspect else run(delivery)
        if outcome in ("handled", "duplicate") and not claim.ended:
            # The handler opened no unit of work now.
            self._end(claim, delivery.identity)
        return outcome

    def _retry(self, delivery: Delivery) -> str:
        ended = self._once(delivery)
        if isinstance(ended, str):
            return ended
        claim, parking = delivery.claim, self._parking
        assert claim is not None  # the caller claimed the lane
        assert parking is not None  # it made the claim
        self._write(lambda tx: parking.postpone(tx, claim, ended))
        return "retried"

    def handle_batch(self, records: Sequence[Record]) -> list[str]:
        """Handle several records in one unit of work; if that fails, handle them one by one.

        Records of parked lanes, and records that cannot be decoded, are handled alone. Returns the
        outcome of each record, and raises Stopping, as :meth:`handle` does.
        """
        outcomes: dict[int, str] = {}
        decoded: dict[int, _Decoded] = {}
        # A copy, so that all events of a key are treated alike.
        parked = frozenset(self._parked())
        for index, record in enumerate(records):
            identity, parsed = envelope.identified(record)
            if _lane_in(parked, record, identity):
                outcomes[index] = self.handle(record, suspect=False)
                continue
            try:
                event = envelope.to_event(record, self._decoder, parsed)
                decoded[index] = record, identity, event
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

        def commit() -> str:
            self._commit(scope, call)
            return "handled"

        self._inside(self.enter(decoded[0][1], 1), commit)
        return marks

    def handle_group(self, records: Sequence[Record]) -> list[bool]:
        """Handle records as members of groups, in order; return False for each to handle alone.

        See :mod:`rolehost.delivery.groups`. The records to handle alone are those that failed,
        later records of their keys, records of parked lanes, and, after a group that failed as a
        whole, all the rest.
        """
        done: list[bool] = []
        failed = set[bytes]()
        parked = frozenset(self._parked())
        while len(done) < len(records):
            rest = records[len(done) :]
            began = self._runtime.clock.now()
            group = Group(self._runtime)
            try:
                outcomes = self._run_group(group, rest, failed, parked)
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
        self,
        group: Group,
        records: Sequence[Record],
        failed: set[bytes],
        parked: frozenset[bytes],
    ) -> list[str | None]:
        """Run members until the group is full, and commit; return None for each to handle alone."""
        outcomes: list[str | None] = []
        with self._runtime.database.session(), group:
            for record in records:
                waits = record.key is not None and record.key in failed
                outcomes.append(None if waits else self._member(group, record, parked))
                if outcomes[-1] is None and record.key is not None:
                    failed.add(record.key)
                if group.full:
                    break
            group.commit()
        return outcomes

    def _member(self, group: Group, record: Record, parked: frozenset[bytes]) -> str | None:
        """Return the outcome of a member, or None if it failed or its lane is parked."""
        identity, parsed = envelope.identified(record)
        if _lane_in(parked, record, identity):
            return None
        before = EVENT_ID.set(identity), GROUP.set(self._handler.group)
        try:
            delivery = Delivery(record, identity, parsed=parsed)
            self.decode(delivery)
            return self._attempt_inside(delivery, group)
        except failpoints.Crash:
            raise
        except BaseException as error:  # a handler may raise anything, even CancelledError
            if group.failure is not None or self._runtime.guard.is_outage(error):
                raise GroupFailed from error
            return None
        finally:
            EVENT_ID.reset(before[0])
            GROUP.reset(before[1])


def _lane_in(
    parked: Collection[bytes], record: Record, identity: str, alone: bool = False
) -> bytes | None:
    """Return the lane of a record if it is one of the parked ones."""
    if not parked:
        return None
    lane = lane_of(record, identity, alone=alone)
    return lane if lane in parked else None
