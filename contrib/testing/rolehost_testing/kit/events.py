"""Relay events from the outbox and handle them, in the thread of the test."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from rolehost import failpoints
from rolehost.api import Handler
from rolehost.delivery import deadletters, envelope, leases, outbox
from rolehost.delivery.attempts import Attempts, Delivery
from rolehost.delivery.handling import Handling
from rolehost.delivery.relay import Relay
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import DeliveryError
from rolehost.services import ProcessServices
from rolehost.storage import Partition, Record, Stream, Subscription

from rolehost_testing.kit.clock import Clock
from rolehost_testing.kit.coroutines import run_before
from rolehost_testing.kit.ran import Ran

#: Maximum number of records of one poll, as in the consumer role.
RECORDS = 500


class Relaying:
    """Relays the outbox of a world in one process.

    Args:
        runtime: the delivery runtime of the process.
        stream: the stream that receives the events.
        owner: identity of the process.
        published: receives the records of the outbox, by event id.
    """

    def __init__(
        self, runtime: DeliveryRuntime, stream: Stream, owner: str, published: dict[str, Record]
    ) -> None:
        self._runtime = runtime
        self._relay = Relay(runtime, stream, owner)
        self._published = published

    def step(self) -> int:
        """Relay a batch; return the number of events."""
        note(self._runtime, self._published)
        return self._relay.step()


def note(runtime: DeliveryRuntime, published: dict[str, Record]) -> None:
    """Copy the records of the outbox, because relaying deletes them from it."""
    with runtime.database.session():
        shards = range(runtime.policy.relay_shards)
        rows = outbox.oldest(runtime.database, shards, len(shards), 1_000_000)
    for row in rows:
        published[envelope.id_and_data(row.record)[0]] = row.record


class Events:
    """The handlers of a consumer process, which joins its consumer groups in :meth:`join`.

    Args:
        services: the services of the process.
        handlers: the handlers of all groups.
        clock: advanced by the delay before each retry, because retries run at once.
    """

    def __init__(
        self,
        services: ProcessServices,
        handlers: Sequence[Handler],
        clock: Clock,
    ) -> None:
        self._services = services
        self._runtime = services.delivery
        self._stream = services.stream
        self._clock = clock
        self._raised: dict[str, BaseException] = {}
        self._handlers: dict[str, dict[str, tuple[Handler, Handling]]] = {}
        for handler in handlers:
            watched = dataclasses.replace(handler, fn=self._watched(handler.fn))
            handling = Handling(
                services.delivery, services, watched, self._wait, wait_for=self._wait_for
            )
            self._handlers.setdefault(handler.group, {})[handler.topic] = (handler, handling)
        self._subscriptions: dict[str, Subscription] = {}

    def join(self) -> None:
        """Join every group."""
        for group, by_topic in self._handlers.items():
            self._subscriptions[group] = self._stream.subscribe(
                list(by_topic), group, on_assigned=_nothing, on_revoked=_nothing
            )

    def leave(self) -> None:
        """Leave the groups, so that other members get the partitions."""
        while self._subscriptions:
            self._subscriptions.popitem()[1].close()

    def step(self) -> list[Ran]:
        """Handle the next records of every group; return an empty list if there are none."""
        ran = []
        for group in self._handlers:
            ran += self._replays(group)
            ran += self._poll(group)
        return ran

    def _poll(self, group: str) -> list[Ran]:
        subscription = self._subscriptions[group]
        records = subscription.poll(0.0, RECORDS)
        if not records:
            return []
        runtime = self._runtime
        suspect = leases.crashed_recently(runtime.database, "consumer", runtime.clock.now())
        ran: list[Ran] = []
        for handler, handling, part in self._parts(group, records):
            if handler.batch > 1 and not suspect:
                ran += self._batch(handler, handling, part)
            else:
                ran += [self._single(handler, handling, each, suspect) for each in part]
        failpoints.reach("consumer.before_offsets")
        subscription.commit(_after(records))
        failpoints.reach("consumer.after_offsets")
        return ran

    def _parts(
        self, group: str, records: Sequence[Record]
    ) -> Iterator[tuple[Handler, Handling, list[Record]]]:
        """Split records by handler, and for batch handlers by batch size."""
        by_topic: dict[str, list[Record]] = {}
        for each in records:
            by_topic.setdefault(each.partition.topic, []).append(each)
        for topic, mine in by_topic.items():
            handler, handling = self._handlers[group][topic]
            size = handler.batch if handler.batch > 1 else len(mine)
            for start in range(0, len(mine), size):
                yield handler, handling, mine[start : start + size]

    def _single(self, handler: Handler, handling: Handling, record: Record, suspect: bool) -> Ran:
        self._raised.clear()
        outcome = handling.handle(record, suspect=suspect)
        return self._logged_outcome(handler, record, outcome)

    def _batch(self, handler: Handler, handling: Handling, records: Sequence[Record]) -> list[Ran]:
        self._raised.clear()
        outcomes = handling.handle_batch(records)
        return [
            self._logged_outcome(handler, record, outcome)
            for record, outcome in zip(records, outcomes, strict=True)
        ]

    def _logged_outcome(self, handler: Handler, record: Record, outcome: str) -> Ran:
        error = None
        if outcome == "dead":
            raised = self._raised.get(envelope.id_and_data(record)[0])
            error = raised or self._dead_letter(handler, record)
        return Ran(
            kind="event",
            name=handler.name,
            outcome=outcome,
            id=envelope.identity(record),
            arguments=payload(record),
            error=error,
        )

    def _dead_letter(self, handler: Handler, record: Record) -> DeliveryError:
        """Return the error of an event that was dead-lettered before any handler ran."""
        rows = self._runtime.database.read(
            "SELECT error FROM rolehost_dead_events WHERE handler = ? AND event IN (?, ?)"
            " ORDER BY id DESC LIMIT 1",
            (handler.name, envelope.identity(record), envelope.position(record)),
        )
        return DeliveryError(rows[0][0] if rows else "dead")

    def _replays(self, group: str) -> list[Ran]:
        """Handle the dead letters for which an operator requested a replay."""
        runtime = self._runtime
        ran = []
        for number, _, record in deadletters.events_to_replay(runtime.database, group, RECORDS):
            found = self._handlers[group].get(record.partition.topic)
            if found is not None:
                ran.append(self._single(*found, record, True))
                with runtime.database.transaction() as tx:
                    deadletters.delete_replayed(tx, number)
        return ran

    def _watched(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def watched(context: Any, given: Any) -> Any:
            with self._noting(given):
                return fn(context, given)

        async def watched_async(context: Any, given: Any) -> Any:
            with self._noting(given):
                return await fn(context, given)

        return watched_async if inspect.iscoroutinefunction(fn) else watched

    @contextmanager
    def _noting(self, given: Any) -> Iterator[None]:
        """Note an exception for the events that a handler was given."""
        try:
            yield
        except Exception as error:
            for event in given if isinstance(given, list) else [given]:
                self._raised[event.id] = error
            raise

    def _wait_for(self, attempts: Attempts, delivery: Delivery) -> None:
        enter = partial(attempts.enter, delivery.identity, delivery.attempt)
        delivery.coroutine = run_before(self._services, enter, partial(attempts.begin, delivery))

    def _wait(self, seconds: float) -> bool:
        self._clock.advance(seconds)
        return False


def payload(record: Record) -> dict[str, Any]:
    """Return the payload of a record if it is a JSON object, otherwise an empty dict."""
    try:
        value = msgspec.json.decode(envelope.id_and_data(record)[1])
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _after(records: Sequence[Record]) -> dict[Partition, int]:
    return {each.partition: each.offset + 1 for each in records}


def _nothing(_partitions: Collection[Partition]) -> None:
    """Ignore the callback: partition assignments change only between two drains."""
