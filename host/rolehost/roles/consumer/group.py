"""One consumer group at work: polls, hands records to lanes, commits what is finished."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial

import structlog
from structlog.contextvars import bind_contextvars

from rolehost import failpoints
from rolehost.api.contributions import Handler
from rolehost.api.services import Services
from rolehost.delivery import deadletters, leases
from rolehost.delivery.handling import Handling, Stopping
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageError, StorageUnavailable
from rolehost.roles.beats import Beats
from rolehost.roles.consumer.lanes import Lanes, Work
from rolehost.roles.consumer.stints import Stint, Stints, Taken
from rolehost.roles.outages import Outage
from rolehost.storage import Listener, Partition, Record, Stream

log = structlog.get_logger(__name__)

#: Seconds a poll waits; a revoked partition or a stop is noticed within it.
POLL = 0.5
#: Most records one poll returns.
RECORDS = 500
#: Seconds between commits while there is work; a crash repeats at most what was finished since.
COMMIT = 0.25
#: Seconds for which a partition that moves is kept until what is being handled there has ended.
RELEASE = 5.0
#: Seconds to wait for room for many records before few are taken.
ROOM = 0.02
#: Seconds between two tries of what failed and is nobody's fault.
PAUSE = 1.0
#: Seconds for which all threads may be at work and settle nothing before the group counts as making
#: no progress: handlers have no time limit, and one that is slow is no hang.
HANDLING = 3600.0
#: Dead letters replayed at once.
REPLAYS = 20


class Progress:
    """What a group has done, seen from time to time by the thread that beats for it.

    Attributes:
        polled: how many records were taken.
        since: when something was settled last, monotonic seconds.
    """

    def __init__(self) -> None:
        self.polled = 0
        self.since = time.monotonic()
        self._settled = 0
        self._lag = 0

    def moved(self, settled: int, now: float) -> bool:
        """Say whether more was settled than when this was asked last."""
        moved = settled != self._settled
        self._settled = settled
        if moved:
            self.since = now
            self._lag = 0
        return moved

    def stays(self, lag: int) -> bool:
        """Say whether there is as much to read as there was, so that nobody reads it.

        A lag that changes is another member's affair: it reads, or is written to.
        """
        same = lag > 0 and lag == self._lag
        self._lag = lag
        return same


class Group:
    """The handlers of one consumer group in one process, driven by :meth:`run` in a thread.

    Args:
        runtime: the delivery runtime.
        services: handed to handlers.
        stream: where records come from.
        group: name of the group.
        handlers: its handlers, one for each topic.
        lanes: the threads that handle; shared by all groups of the process.
        in_flight: most records taken and unfinished; two batches of a handler fit in any case.
        replays: woken when dead letters of the group are to be handled again; None without a
            queue.
        beats: told of each round that came to its end, also of one that found storage away.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        services: Services,
        stream: Stream,
        group: str,
        handlers: Sequence[Handler],
        lanes: Lanes,
        in_flight: int,
        replays: Listener | None,
        beats: Beats | None = None,
    ) -> None:
        self._runtime = runtime
        self._beats = beats or Beats()
        self._stream = stream
        self._group = group
        self._handlers = {handler.topic: handler for handler in handlers}
        self._handling = {
            handler.topic: Handling(runtime, services, handler, self._wait) for handler in handlers
        }
        self._lanes = lanes
        # Twice, so that one batch is read while another is handled.
        self._most = max(in_flight, *(2 * handler.batch for handler in handlers))
        self._waiting: dict[str, deque[Taken]] = {topic: deque() for topic in self._handlers}
        self._stopping = threading.Event()
        self._until = 0.0
        self._replays = replays
        self._replaying: set[int] = set()
        self._look_at = 0.0
        self._stints = Stints()
        self._commit_at = 0.0
        #: The stint in which a thread is handling, so that it stops waiting when that ends.
        self._current = threading.local()
        self._progress = Progress()
        self._subscription = stream.subscribe(
            list(self._handlers),
            group,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )

    @property
    def in_flight(self) -> int:
        """How many events are taken and not settled, about; for any thread."""
        return self._stints.unsettled

    def stop(self, deadline: float) -> None:
        """Make :meth:`run` end: begin nothing more, wait for what runs, commit, leave.

        Args:
            deadline: of ``time.monotonic()``, until which it waits.
        """
        self._until = deadline
        self._stopping.set()
        self._subscription.interrupt()

    def run(self) -> None:
        """Poll until it is stopped, then leave; an outage of storage is waited out."""
        outage = Outage(group=self._group)
        while not self._stopping.is_set():
            try:
                self._round()
                self._beats.beat(f"polling for {self._group}")
                outage.passed()
            except StorageUnavailable as error:
                self._beats.beat(f"polling for {self._group}")
                outage.failed(error)
                self._stopping.wait(PAUSE)
            except Exception:
                log.exception("consumer group failed, going on", group=self._group)
                self._stopping.wait(PAUSE)
        # Gives up what it owns: waits for what runs, and commits.
        try:
            self._revoked(self._stints.partitions())
        except Exception as error:
            log.warning("offsets not committed", group=self._group, error=str(error))
        self._subscription.close()

    def look(self) -> None:
        """Beat unless what was taken is not handled, or what there is to read is not taken."""
        now = time.monotonic()
        progress, flying = self._progress, self._stints.unsettled
        if progress.moved(progress.polled - flying, now):
            self._beats.beat(f"handling for {self._group}")
        elif flying:
            slow = self._lanes.full and now - progress.since >= HANDLING
            if not slow or not self._database_answers():
                self._beats.beat(f"handling for {self._group}")
        elif (
            not progress.polled or not self._stints.partitions() or not progress.stays(self._lag())
        ):
            self._beats.beat(f"handling for {self._group}")

    def _database_answers(self) -> bool:
        try:
            with self._runtime.database.session():
                self._runtime.database.ping()
        except StorageError:
            return False
        return True

    def _lag(self) -> int:
        """Return how many records the group has not read; 0 when that cannot be learnt."""
        try:
            return self._stream.lag(list(self._handlers), self._group)
        except StorageError:
            return 0

    def _round(self) -> None:
        # Few at a time cost as much as many; but one slow lane must not hold up the others.
        self._stints.await_flying(self._most // 2, ROOM)
        room = self._most - self._stints.flying()
        if room > 0:
            records = self._subscription.poll(POLL, min(room, RECORDS))
            if records:
                self._progress.polled += len(records)
                self._lanes.submit(self._work(self._stints.take(records)))
        else:
            records = []
            self._stay()
        now = time.monotonic()
        if not records or now >= self._commit_at:
            self._commit()
            self._commit_at = now + COMMIT
        self._replay(now)

    def _stay(self) -> None:
        """Keep the membership up while nothing more is taken."""
        if self._stints.await_flying(self._most - 1, POLL):
            return
        partitions = self._stints.partitions()
        self._subscription.pause(partitions)
        try:
            self._subscription.poll(0.0, 1)
        finally:
            self._subscription.resume(partitions)

    def _work(self, taken: Sequence[Taken]) -> list[tuple[Hashable, Work]]:
        items: list[tuple[Hashable, Work]] = []
        batches: set[str] = set()
        for each in taken:
            record, _, careful = each
            topic = record.partition.topic
            handler = self._handlers[topic]
            if handler.batch > 1:
                if not careful:
                    self._waiting[topic].append(each)
                    batches.add(topic)
                    continue
                lane: Hashable = self._group, topic
            elif handler.ordered and (key := record.key) is not None:
                lane = self._group, record.partition, key
            else:
                lane = None
            items.append((lane, partial(self._single, self._handling[topic], each)))
        # Batches of a topic are serial, so that their order is that of the stream.
        items += [((self._group, topic), self._batches(topic)) for topic in batches]
        return items

    def _single(self, handling: Handling, each: Taken) -> None:
        taken = (each,)
        if self._stints.start(taken):
            record, stint, careful = each
            handle = partial(handling.handle, record, careful=careful)
            self._stints.settle(taken, self._finish(handle, stint))

    def _batches(self, topic: str) -> Work:
        handling, size = self._handling[topic], self._handlers[topic].batch
        waiting = self._waiting[topic]

        def work() -> None:
            # Everything that has come, also after this was submitted: few records of many polls
            # make one batch. Then another that was submitted finds nothing.
            while waiting:
                taken = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                kept = self._stints.start(taken)
                if kept:
                    bind_contextvars(event_id=f"{len(kept)} of {topic}", group=self._group)
                    records = [each[0] for each in kept]
                    done = self._finish(partial(handling.handle_batch, records), None)
                    self._stints.settle(kept, done)

        return work

    def _finish(self, handle: Callable[[], object], stint: Stint | None) -> bool:
        """Handle until it is decided; False when the stint ends before."""
        self._current.stint = stint
        while True:
            try:
                handle()
                return True
            except Stopping:
                return False
            except BaseException:
                log.exception("event not handled, tried again", group=self._group)
            if self._wait(PAUSE):
                return False

    def _wait(self, seconds: float) -> bool:
        """Wait before another try; True when there is none, for the partition goes elsewhere."""
        stint: Stint | None = getattr(self._current, "stint", None)
        return (self._stopping if stint is None else stint.gone).wait(seconds)

    def _commit(self) -> None:
        self._stints.read_up_to(self._subscription.positions())
        offsets = self._stints.committable()
        if offsets:
            failpoints.reach("consumer.before_offsets")
            self._subscription.commit(offsets)
            self._stints.committed(offsets)
            failpoints.reach("consumer.after_offsets")

    def _assigned(self, partitions: Collection[Partition]) -> None:
        runtime = self._runtime
        # After a crash the first records may be those that were in flight when it happened.
        crashed = leases.crashed_lately(runtime.database, "consumer", runtime.clock.now())
        self._stints.begin(partitions, self._most if crashed else 0)

    def _revoked(self, partitions: Collection[Partition]) -> None:
        """Let what is being handled finish, within limits, so that it is not handled twice."""
        stopping = self._stopping.is_set()
        patience = max(0.0, self._until - time.monotonic()) if stopping else RELEASE
        try:
            if not self._stints.release(partitions, patience):
                log.warning("partitions left while events are being handled", group=self._group)
            self._commit()
        finally:
            self._stints.forget(partitions)

    def _replay(self, now: float) -> None:
        """Handle dead letters again that were marked so; looked for when woken, or now and then."""
        woken = self._replays is not None and bool(self._replays.wait(0.0))
        if not woken and now < self._look_at:
            return
        runtime = self._runtime
        self._look_at = now + runtime.policy.poll
        with runtime.database.session():
            waiting = deadletters.to_replay(runtime.database, self._group, REPLAYS)
        for number, _, record in waiting:
            handling = self._handling.get(record.partition.topic)
            if handling is not None and number not in self._replaying:
                self._replaying.add(number)
                self._lanes.submit([(None, self._again(handling, number, record))])

    def _again(self, handling: Handling, number: int, record: Record) -> Work:
        def replay() -> None:
            handling.handle(record, careful=True)
            with self._runtime.database.session(), self._runtime.database.transaction() as tx:
                deadletters.replayed(tx, number)

        def work() -> None:
            if not self._stopping.is_set():
                self._finish(replay, None)
            self._replaying.discard(number)

        return work
