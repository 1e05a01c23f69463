"""One consumer group at work: polls, hands records to lanes, commits what is finished."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import structlog
from structlog.contextvars import bound_contextvars

from rolehost.api.contributions import Handler
from rolehost.api.services import Services
from rolehost.delivery import deadletters, envelope, leases
from rolehost.delivery.engine import Engine
from rolehost.delivery.handling import Handling, Stopping
from rolehost.errors import StorageUnavailable
from rolehost.roles.consumer.lanes import Lanes
from rolehost.roles.consumer.offsets import Offsets
from rolehost.storage import Delivery, Listener, Partition, Stream

log = structlog.get_logger(__name__)

#: Seconds a poll waits; a revoked partition or a stop is noticed within it.
POLL = 0.5
#: Most records one poll returns.
RECORDS = 500
#: Dead letters replayed at once.
REPLAYS = 20


class Group:
    """The handlers of one consumer group in one process, driven by :meth:`run` in a thread.

    Args:
        engine: the engine.
        services: handed to handlers.
        stream: where records come from.
        group: name of the group.
        handlers: its handlers, one for each topic.
        lanes: the threads that handle; shared by all groups of the process.
        in_flight: most records taken and unfinished.
        stopping: set when the process stops.
        replays: woken when dead letters of the group are to be handled again.
    """

    def __init__(
        self,
        engine: Engine,
        services: Services,
        stream: Stream,
        group: str,
        handlers: Sequence[Handler],
        lanes: Lanes,
        in_flight: int,
        stopping: threading.Event,
        replays: Listener | None,
    ) -> None:
        self._engine = engine
        self._group = group
        self._handlers = {handler.topic: handler for handler in handlers}
        self._handling = {
            handler.topic: Handling(engine, services, handler, stopping.wait)
            for handler in handlers
        }
        self._lanes = lanes
        self._most = in_flight
        self._stopping = stopping
        self._replays = replays
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._offsets: dict[Partition, Offsets] = {}
        self._dirty: set[Partition] = set()
        self._careful: dict[Partition, int] = {}
        self._flying = 0
        self.subscription = stream.subscribe(
            list(self._handlers),
            group,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )

    def run(self) -> None:
        """Poll until the process stops; an outage of the stream is waited out."""
        while not self._stopping.is_set():
            try:
                self._round()
            except StorageUnavailable as error:
                log.warning("stream unavailable", group=self._group, error=str(error))
                self._stopping.wait(1.0)
            except Exception:
                log.exception("consumer group failed, going on", group=self._group)
                self._stopping.wait(1.0)

    def close(self, grace: float) -> None:
        """Wait up to ``grace`` seconds for what is being handled, commit, leave the group."""
        with self._settled:
            self._settled.wait_for(lambda: not self._flying, grace)
        try:
            self._commit()
        except StorageUnavailable as error:
            log.warning("offsets not committed", group=self._group, error=str(error))
        self.subscription.close()

    def _round(self) -> None:
        with self._lock:
            room = self._most - self._flying
        if room > 0:
            deliveries = self.subscription.poll(POLL, min(room, RECORDS))
        else:
            # Membership must be kept up while nothing more is taken.
            partitions = list(self._offsets)
            self.subscription.pause(partitions)
            self.subscription.poll(0.0, 1)
            with self._settled:
                self._settled.wait_for(lambda: self._flying < self._most, POLL)
            self.subscription.resume(partitions)
            deliveries = []
        self._take(deliveries)
        self._commit()
        self._replay()

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        batches: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            partition = delivery.partition
            with self._lock:
                self._offsets.setdefault(partition, Offsets()).take(delivery.offset)
                self._flying += 1
                careful = self._careful.get(partition, 0)
                if careful:
                    self._careful[partition] = careful - 1
            handler = self._handlers[partition.topic]
            if handler.batch > 1 and not careful:
                batches.setdefault(partition.topic, []).append(delivery)
            else:
                self._submit(handler, delivery, careful=careful > 0)
        for topic, waiting in batches.items():
            size = self._handlers[topic].batch
            for start in range(0, len(waiting), size):
                self._submit_batch(topic, waiting[start : start + size])

    def _submit(self, handler: Handler, delivery: Delivery, *, careful: bool) -> None:
        partition, key = delivery.partition, delivery.record.key
        serial = handler.ordered and (key is not None or handler.batch > 1)
        lane = (partition, None if handler.batch > 1 else key) if serial else object()
        handling = self._handling[partition.topic]

        def work() -> None:
            done = False
            try:
                with bound_contextvars(event_id=envelope.identity(delivery), group=self._group):
                    if not self._stopping.is_set():
                        handling.handle(delivery, careful=careful)
                        done = True
            except Stopping:
                pass
            except BaseException:
                log.exception("event not handled, it stays in the stream", group=self._group)
            self._settle([delivery], done)

        self._lanes.submit(lane, work)

    def _submit_batch(self, topic: str, deliveries: Sequence[Delivery]) -> None:
        handling = self._handling[topic]

        def work() -> None:
            done = False
            try:
                if not self._stopping.is_set():
                    handling.handle_batch(deliveries)
                    done = True
            except Stopping:
                pass
            except BaseException:
                log.exception("events not handled, they stay in the stream", group=self._group)
            self._settle(deliveries, done)

        # Batches of a topic are serial, so that their order is that of the stream.
        self._lanes.submit((topic, self._group), work)

    def _settle(self, deliveries: Sequence[Delivery], done: bool) -> None:
        with self._settled:
            for delivery in deliveries:
                self._flying -= 1
                offsets = self._offsets.get(delivery.partition)
                if done and offsets is not None and offsets.finish(delivery.offset):
                    self._dirty.add(delivery.partition)
            self._settled.notify_all()

    def _commit(self) -> None:
        with self._lock:
            offsets = {
                partition: committable
                for partition in self._dirty
                if partition in self._offsets
                and (committable := self._offsets[partition].committable) is not None
            }
            self._dirty.clear()
        if offsets:
            self.subscription.commit(offsets)

    def _assigned(self, partitions: Collection[Partition]) -> None:
        engine = self._engine
        # After a crash the first records may be those that were in flight when it happened.
        crashed = leases.crashed_lately(engine.database, "consumer", engine.clock.now())
        with self._lock:
            for partition in partitions:
                self._offsets[partition] = Offsets()
                self._careful[partition] = self._most if crashed else 0

    def _revoked(self, partitions: Collection[Partition]) -> None:
        """Let what is being handled finish, within limits, so that it is not handled twice."""
        gone = set(partitions)
        with self._settled:
            self._settled.wait_for(
                lambda: all(not len(self._offsets.get(each, ())) for each in gone), timeout=POLL
            )
        self._commit()
        with self._lock:
            for partition in gone:
                self._offsets.pop(partition, None)
                self._careful.pop(partition, None)

    def _replay(self) -> None:
        if self._replays is not None and not self._replays.wait(0.0):
            return
        engine = self._engine
        with engine.database.session():
            waiting = deadletters.to_replay(engine.database, self._group, REPLAYS)
        for number, _, delivery in waiting:
            handling = self._handling.get(delivery.partition.topic)
            if handling is None:
                continue
            handling.handle(delivery, careful=True)
            with engine.database.session(), engine.database.transaction() as tx:
                deadletters.discard(tx, f"event:{number}")
