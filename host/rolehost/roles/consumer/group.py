"""One member of a consumer group: polls, gives records to lanes, commits offsets."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial

import structlog
from structlog.contextvars import bind_contextvars

from rolehost import failpoints
from rolehost.api.handlers import Handler
from rolehost.delivery import deadletters, leases
from rolehost.delivery.attempts import Attempts, Delivery
from rolehost.delivery.coroutines import Stopping
from rolehost.delivery.groups import MOST_SAVEPOINTS
from rolehost.delivery.handling import Handling
from rolehost.errors import StorageError
from rolehost.roles.consumer.assignments import Assignment, Assignments, Taken
from rolehost.roles.consumer.coroutines import running
from rolehost.roles.consumer.lanes import GOES_ON, Lanes, Work
from rolehost.roles.consumer.parked import ParkedEvents
from rolehost.roles.loops import RETRY_DELAY, Loop
from rolehost.roles.process import Process
from rolehost.roles.stuck import answers
from rolehost.storage import Partition, Record

log = structlog.get_logger(__name__)

#: Seconds that a poll waits for records.
POLL_TIMEOUT = 0.5
#: Upper bound of the records of one poll.
MAX_POLL_RECORDS = 500
#: Seconds between commits while there is work. A crash repeats the records since the last commit.
COMMIT_INTERVAL = 0.25
#: Seconds to wait for the running records of a revoked partition.
REVOKE_TIMEOUT = 5.0
#: Seconds in which cancelled coroutines of a revoked partition must end.
CANCEL_TIMEOUT = 2.0
#: Seconds to wait for room for many records, before a poll for a few.
ROOM_TIMEOUT = 0.02
#: Seconds for which all threads may be busy without settling a record, before the group counts as
#: hung. It is long, because handlers have no time limit, and a slow handler is not a hang.
HANDLING_TIMEOUT = 3600.0
#: Upper bound of dead letters that are replayed together.
MAX_REPLAYS = 20


def _together(handler: Handler) -> int:
    """Return the maximum number of records that are handled together."""
    return MOST_SAVEPOINTS if handler.grouped else handler.batch


class GroupProgress:
    """The progress of a group since the last check by the main thread.

    ``polled`` counts the taken records. At ``settled_at`` (monotonic seconds) the handling of the
    last record ended (*settled*).
    """

    def __init__(self) -> None:
        self.polled = 0
        self.settled_at = time.monotonic()
        self._settled = 0
        self._lag = 0

    def update_settled(self, settled: int, now: float) -> bool:
        """Return whether records were settled since the last call."""
        moved = settled != self._settled
        self._settled = settled
        if moved:
            self.settled_at = now
            self._lag = 0
        return moved

    def lag_unchanged(self, lag: int) -> bool:
        """Return whether the lag is above 0 and unchanged: no member of the group reads."""
        same = lag > 0 and lag == self._lag
        self._lag = lag
        return same


class ConsumerGroup(Loop):
    """The handlers of one consumer group in one process; its thread polls and commits.

    ``handlers`` has one handler for each topic; ``lanes`` are shared by all groups of the process.
    """

    def __init__(
        self, process: Process, group: str, handlers: Sequence[Handler], lanes: Lanes
    ) -> None:
        super().__init__("consumer-group", group=group)
        services = process.services
        self._runtime = runtime = services.delivery
        self._stream = services.stream
        self._group = group
        self._handlers = {handler.topic: handler for handler in handlers}
        in_flight = process.composition.deployment.host.consumer.in_flight
        # Retries of coroutines occupy no threads.
        beside = lanes.coroutines is not None and all(handler.is_async for handler in handlers)
        self._parked = ParkedEvents(
            runtime,
            group,
            process.identity.id,
            lanes,
            threading.Semaphore(max(1, in_flight // 4)) if beside else lanes.retries,
            self._retry_until_done,
            lambda: self._subscription.interrupt(),
        )
        self._handling = {
            handler.topic: Handling(
                runtime, services, handler, self._wait, self._parked.parking, self._wait_for
            )
            for handler in handlers
        }
        self._lanes = lanes
        # Two batches: one is read while the other is handled.
        self._sizes = {handler.topic: _together(handler) for handler in handlers}
        self._most = max(in_flight, *(2 * size for size in self._sizes.values()))
        self._batched: dict[str, deque[Taken]] = {topic: deque() for topic in self._handlers}
        # Lane of a key → its records to be handled alone, after a failure in a group commit.
        self._alone: Counter[Hashable] = Counter()
        self._alone_lock = threading.Lock()
        self._assignments = Assignments()
        #: The assignment of each thread's record; its revocation ends the wait for a retry.
        self._current = threading.local()
        self._commit_at = 0.0
        self._replays = process.listen([f"replay:{group}"])
        self._replay_at = 0.0
        self._replaying: set[int] = set()
        self._beats = process.beats
        self._progress = GroupProgress()
        self._stop_by = 0.0
        self._subscription = self._stream.subscribe(
            list(self._handlers),
            group,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
        )

    @property
    def in_flight(self) -> int:
        """The number of records that are taken and not settled; any thread may ask."""
        return self._assignments.in_flight

    def stop_by(self, deadline: float) -> None:
        """Start no more records, wait for the running ones, commit, and leave the group.

        ``deadline`` is a time of :func:`time.monotonic`.
        """
        self._stop_by = deadline
        self.stopping.set()
        self._subscription.interrupt()

    def beat(self) -> None:
        """Report that the group polls."""
        self._beats.beat(f"polling for {self._group}")

    def release(self) -> None:
        """Wait for running records, commit, and close the subscription."""
        try:
            self._on_revoked(self._assignments.partitions())
        except Exception as error:
            log.warning("offsets not committed", group=self._group, error=str(error))
        self._subscription.close()

    def report_progress(self) -> None:
        """Send a heartbeat if taken records are handled and new records are read."""
        if self._progresses(time.monotonic()):
            self._beats.beat(f"handling for {self._group}")

    def _progresses(self, now: float) -> bool:
        progress, in_flight = self._progress, self._assignments.in_flight
        if progress.update_settled(progress.polled - in_flight, now):
            return True
        if in_flight:
            slow = self._lanes.full and now - progress.settled_at >= HANDLING_TIMEOUT
            return not slow or not answers(self._runtime.database)
        reads = progress.polled and self._assignments.partitions()
        # If the lag changes, a member reads, or new records are written.
        return not reads or not progress.lag_unchanged(self._lag())

    def _lag(self) -> int:
        try:
            return self._stream.lag(list(self._handlers), self._group)
        except StorageError:
            return 0

    def step(self) -> None:
        """Poll once, commit the offsets of finished records, and retry parked and dead events."""
        # A poll for few records costs as much as one for many, so wait for room. The wait is
        # short, because a slow lane must not delay the other lanes.
        self._assignments.wait_for_room(self._most // 2, ROOM_TIMEOUT)
        room = self._most - self._assignments.in_flight
        records: Sequence[Record] = ()
        if room > 0:
            patience = self._parked.patience(POLL_TIMEOUT)
            records = self._subscription.poll(patience, min(room, MAX_POLL_RECORDS))
            self._progress.polled += len(records)
            self._lanes.submit(self._work(self._assignments.take(records)))
        else:
            self._stay_in_group()
        now = time.monotonic()
        if not records or now >= self._commit_at:
            self._commit()
            self._commit_at = now + COMMIT_INTERVAL
        self._replay(now)
        self._parked.step(self._handling)

    def _stay_in_group(self) -> None:
        """Wait for room for more records; poll paused partitions to stay in the group."""
        if self._assignments.wait_for_room(self._most - 1, POLL_TIMEOUT):
            return
        partitions = self._assignments.partitions()
        self._subscription.pause(partitions)
        try:
            self._subscription.poll(0.0, 1)
        finally:
            self._subscription.resume(partitions)

    def _work(self, taken: Sequence[Taken]) -> list[tuple[Hashable, Work]]:
        items: list[tuple[Hashable, Work]] = []
        batches: set[str] = set()
        for each in taken:
            topic = each.record.topic
            lane = self._lane(each)
            if self._sizes[topic] > 1:
                if not each.suspect:
                    self._batched[topic].append(each)
                    batches.add(topic)
                    continue
                lane = self._group, topic
            items.append((lane, partial(self._handle, each)))
        # The batches of a topic run one after the other, in the order of the stream.
        items += [((self._group, topic), partial(self._handle_batches, topic)) for topic in batches]
        return items

    def _lane(self, taken: Taken) -> Hashable:
        """Return the lane of a record's key; None if the record has no key."""
        key = taken.record.key
        return None if key is None else (self._group, taken.record.partition, key)

    def _handle(self, taken: Taken) -> object:
        """Handle one record; runs in a thread of the lanes."""
        return self._handle_started(taken) if self._assignments.start(taken) else None

    def _handle_started(self, taken: Taken) -> object:
        """Handle a record, or begin its coroutine, after which another thread goes on."""
        record = taken.record
        handling = self._handling[record.topic]
        loop = self._lanes.coroutines if handling.is_async and not taken.suspect else None
        delivery = None if loop is None else handling.ready(record)
        if delivery is None or loop is None:
            self._settle(taken, lambda: handling.handle(record, suspect=taken.suspect))
            return None
        go_on = partial(self._settle, taken, partial(handling.go_on, delivery))
        resume = partial(self._lanes.resume, self._lane(taken), go_on)
        loop.start([running(handling, delivery, resume, taken.assignment)])
        return GOES_ON

    def _settle(self, taken: Taken, handle: Callable[[], object]) -> None:
        self._assignments.settle(taken, self._handle_until_done(handle, taken.assignment))

    def _wait_for(self, handling: Attempts, delivery: Delivery) -> None:
        """Run a coroutine while the calling thread waits."""
        loop = self._lanes.coroutines
        assert loop is not None  # a handler is asynchronous
        assignment: Assignment | None = getattr(self._current, "assignment", None)
        loop.run(lambda on_end: running(handling, delivery, partial(on_end, None), assignment))

    def _handle_batches(self, topic: str) -> None:
        """Handle all waiting records of a topic, including those of later polls."""
        handling, size = self._handling[topic], self._sizes[topic]
        waiting = self._batched[topic]
        while waiting:
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            batch = [each for each in batch if self._assignments.start(each)]
            if batch and self._handlers[topic].grouped:
                self._handle_group(handling, batch)
            elif batch:
                bind_contextvars(event_id=f"{len(batch)} of {topic}", group=self._group)
                handle = partial(handling.handle_batch, [each.record for each in batch])
                done = self._handle_until_done(handle, None)
                for each in batch:
                    self._assignments.settle(each, done)

    def _handle_group(self, handling: Handling, batch: Sequence[Taken]) -> None:
        """Handle records in groups; handle those that fail, and later ones of their keys, alone."""
        members: list[Taken] = []
        for each in batch:
            if self._lane(each) in self._alone:
                self._submit_alone(each)
            else:
                members.append(each)
        ended: list[bool] = []

        def handle() -> None:
            ended.extend(handling.handle_group([each.record for each in members]))

        if not self._handle_until_done(handle, None):
            for each in members:
                self._assignments.settle(each, False)
            return
        for each, done in zip(members, ended, strict=True):
            if done:
                self._assignments.settle(each, True)
            else:
                self._submit_alone(each)

    def _submit_alone(self, taken: Taken) -> None:
        lane = self._lane(taken)
        if lane is not None:
            with self._alone_lock:
                self._alone[lane] += 1
        self._lanes.submit([(lane, partial(self._handle_alone, taken))])

    def _handle_alone(self, taken: Taken) -> None:
        if taken.assignment.revoked.is_set():
            # An earlier event of its key may have stopped waiting for its retry.
            self._assignments.settle(taken, False)
        else:
            self._handle_started(taken)
        lane = self._lane(taken)
        if lane is not None:
            with self._alone_lock:
                self._alone[lane] -= 1
                if not self._alone[lane]:
                    del self._alone[lane]

    def _handle_until_done(
        self, handle: Callable[[], object], assignment: Assignment | None
    ) -> bool:
        """Call ``handle`` until it succeeds; return False if the assignment ends before."""
        self._current.assignment = assignment
        gone = False
        while not gone:
            try:
                handle()
                return True
            except Stopping:
                return False
            except BaseException:
                log.exception("event not handled, trying again", group=self._group)
                gone = self._wait(RETRY_DELAY)
        return False

    def _retry_until_done(self, handle: Callable[[], object]) -> bool:
        """Call a function for parked events; return False if the process stops before."""
        return not self.stopping.is_set() and self._handle_until_done(handle, None)

    def _wait(self, seconds: float) -> bool:
        """Wait before a retry; return True if the assignment or the process ends."""
        assignment: Assignment | None = getattr(self._current, "assignment", None)
        return (assignment.revoked if assignment else self.stopping).wait(seconds)

    def _commit(self) -> None:
        self._assignments.note_positions(self._subscription.positions())
        offsets = self._assignments.committable()
        if offsets:
            failpoints.reach("consumer.before_offsets")
            self._subscription.commit(offsets)
            self._assignments.note_committed(offsets)
            failpoints.reach("consumer.after_offsets")

    def _on_assigned(self, partitions: Collection[Partition]) -> None:
        runtime = self._runtime
        # If this fails, the events wait until the parked lanes are known.
        self._parked.parking.known = False
        self._parked.parking.load()
        # After a crash the first records are suspects, because they may have been in flight then.
        crashed = leases.crashed_recently(runtime.database, "consumer", runtime.clock.now())
        self._assignments.assign(partitions, self._most if crashed else 0)

    def _on_revoked(self, partitions: Collection[Partition]) -> None:
        """Wait for running records, within a time limit, so that no other member repeats them."""
        stopping = self.stopping.is_set()
        patience = max(0.0, self._stop_by - time.monotonic()) if stopping else REVOKE_TIMEOUT
        try:
            over = self._assignments.revoke(partitions, patience)
            if not over and not self._cancel_revoked(partitions):
                log.warning(
                    "partitions revoked while events are still being handled", group=self._group
                )
            self._commit()
        finally:
            self._assignments.remove(partitions)

    def _cancel_revoked(self, partitions: Collection[Partition]) -> bool:
        """Cancel coroutines of revoked partitions; return whether none of their records is left."""
        loop = self._lanes.coroutines
        if loop is None:
            return False
        keys = [key for key in list(loop.running) if key[0] is not None and key[0].revoked.is_set()]
        loop.cancel(keys, Stopping)
        return self._assignments.revoke(partitions, CANCEL_TIMEOUT)

    def _replay(self, now: float) -> None:
        """Handle dead letters that are marked for replay, when woken or after ``poll`` seconds."""
        if not self._replays.wait(0.0) and now < self._replay_at:
            return
        runtime = self._runtime
        self._replay_at = now + runtime.policy.poll
        with runtime.database.session():
            waiting = deadletters.events_to_replay(runtime.database, self._group, MAX_REPLAYS)
        for number, _, record in waiting:
            if record.partition.topic in self._handling and number not in self._replaying:
                self._replaying.add(number)
                self._lanes.submit([(None, partial(self._handle_again, number, record))])

    def _handle_again(self, number: int, record: Record) -> None:
        def replay() -> None:
            handling = self._handling[record.partition.topic]
            if handling.handle(record, suspect=True, alone=True) == "parked":
                return
            with self._runtime.database.session(), self._runtime.database.transaction() as tx:
                deadletters.delete_replayed(tx, number)

        if not self.stopping.is_set():
            self._handle_until_done(replay, None)
        self._replaying.discard(number)
