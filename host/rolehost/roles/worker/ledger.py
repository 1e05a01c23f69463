"""Claims jobs of one durable queue in batches, and writes finished jobs in batches.

In one transaction the consumer thread writes the jobs that the worker threads have finished, makes
due jobs available, and claims the next batch. It prefetches about a tenth of a second of work, so
that slow jobs stay available to other processes.

Dramatiq gives a thread not a job but a *worker slot*, in which the thread runs claimed jobs of
this queue one after the other. Quick jobs share few slots, because a slot costs as much as a
message, and threads that run Python code exclude each other. No job waits behind another for more
than 5 ms while a thread is free. Slots are not stored: ``ack``, ``nack`` and
``requeue`` do nothing, because the state of jobs is in the ledger.

Claimed jobs that find no free thread for a while are handed back, so that they do not wait behind
slow ones while another process is idle.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import dramatiq
import structlog
from dramatiq.broker import Consumer, MessageProxy

from rolehost import failpoints
from rolehost.delivery import changes
from rolehost.delivery.claims import Claims
from rolehost.delivery.jobs import FINISHED, ClaimedJob, Finish
from rolehost.delivery.partitions import NONE_AHEAD
from rolehost.delivery.runner import give_back
from rolehost.delivery.runs import KeyRun, Run
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageError, StorageUnavailable
from rolehost.failures import describe
from rolehost.roles.beats import Beats
from rolehost.roles.loops import RETRY_DELAY
from rolehost.roles.worker.cancelled import CancelledJobs
from rolehost.roles.worker.pace import SHARE_MILLISECONDS, Pace
from rolehost.roles.worker.ready import ReadyRuns
from rolehost.storage import Listener, Transaction

log = structlog.get_logger(__name__)

#: Seconds after which finished jobs are written, even if there is no room for new ones.
FLUSH_INTERVAL = 0.05

#: Seconds after which changes that another process had locked are looked for again.
MISSED_INTERVAL = 0.005

#: Seconds after which a thread hands over the interpreter lock while one thread runs all jobs, and
#: otherwise (:func:`sys.setswitchinterval`). SQLite's driver releases the lock for each row, so at
#: the default interval a claim would only go on when no job runs.
QUICK_SWITCH, SWITCH = 0.0002, sys.getswitchinterval()

#: Seconds for which a process without a free thread leaves new jobs to processes that have one.
YIELD_SECONDS = 0.005


def slot_actor(queue: str) -> str:
    """Return the name of the Dramatiq actor whose messages are worker slots of a queue."""
    return f"rolehost.slot.{queue}"


class LedgerConsumer(Consumer):
    """The consumer of one durable queue; iterated by one thread, used by all worker threads.

    It claims only jobs of ``actors``. It claims until at least ``threads`` and at most ``most``
    runs are unfinished. ``listener`` is woken when there may be jobs to claim. ``slots`` is the
    queue of its worker slots; by default the queue of the jobs.
    """

    #: Whether a claim takes one job of a key; see :class:`~rolehost.delivery.claims.Claims`.
    one_by_one = False

    def __init__(
        self,
        runtime: DeliveryRuntime,
        *,
        queue: str,
        actors: Collection[str],
        owner: str,
        threads: int,
        most: int,
        listener: Listener,
        beats: Beats,
        slots: str = "",
    ) -> None:
        self._runtime = runtime
        self._queue = queue
        self._claims = Claims(runtime, queue, sorted(actors), owner, one_by_one=self.one_by_one)
        self._owner = owner
        self._actors = sorted(actors)
        self._threads = threads
        self._listener = listener
        self._beats = beats
        self._slot: dramatiq.Message[None] = dramatiq.Message(
            queue_name=slots or queue,
            actor_name=slot_actor(slots or queue),
            args=(),
            kwargs={},
            options={},
        )
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._slots_used = 0  # slots given to Dramatiq and not ended
        self._slots_free = 0  # slots to give to Dramatiq
        declared = runtime.declared.actors
        grouped = {name for name in actors if declared[name].grouped}
        self._ready = ReadyRuns(grouped, self._hand_back)
        self._finished: list[tuple[ClaimedJob, Finish]] = []
        self._write_at = 0.0  # monotonic; finished jobs are written by then
        self._known: set[tuple[int, int]] = set()  # ids and tokens of the known claims
        # Other rows may be claimed: the end of a transaction is unknown, or a failover undid it.
        self._claims_uncertain = False
        self._compared_at = runtime.clock.now()  # milliseconds; see :meth:`_write_and_claim`
        self._pace = Pace(runtime.clock.now, threads, most)
        self.cancelled = CancelledJobs(runtime, owner)
        self._waiting = False
        self._missed = False  # whether the last claim passed over changes that another had locked
        # After a wake-up, until a claim: when to claim although no thread is free, monotonic.
        self._yields_until: float | None = None
        # After a claim that found fewer runs than wanted: how many were unfinished then.
        self._found: int | None = None
        self._taken = 0  # runs that threads have taken, for :meth:`stalls`
        self._seen = -1

    def __next__(self) -> MessageProxy | None:
        with self._lock:
            if self._slots_free:
                self._slots_free -= 1
                self._slots_used += 1
                return MessageProxy(self._slot)
        try:
            claimed = self._cycle()
            self._beats.beat(f"taking jobs of {self._queue}")
            if not claimed and not self._slots_free:
                self._wait()
        except StorageUnavailable as error:
            self._beats.beat(f"taking jobs of {self._queue}")
            log.warning("storage unavailable, no jobs taken", queue=self._queue, error=str(error))
            self._stopping.wait(RETRY_DELAY)
        except Exception:
            # An error would make Dramatiq create another consumer; finished jobs would be lost.
            log.exception("taking jobs failed, continuing", queue=self._queue)
            self._stopping.wait(RETRY_DELAY)
        return None

    def _cycle(self) -> bool:
        """Write finished jobs and claim new ones in one transaction; return whether it claimed."""
        stopping = self._stopping.is_set()
        with self._lock:
            self._hand_back_hoarded()
            room = 0 if stopping else self._room()
            if room <= 0 and not stopping and time.monotonic() < self._write_at:
                self._offer_slots()
                return False
            finished, self._finished = self._finished, []
            self._write_at = time.monotonic() + FLUSH_INTERVAL
            claims_ahead = room > 0 and self._claims_ahead()
            ahead = self._ready.take_keys() if claims_ahead else NONE_AHEAD
        try:
            runs = self._write_and_claim_or_give_back(finished, room, ahead)
        except BaseException:
            with self._lock:
                self._finished = finished + self._finished
            self._claims_uncertain = True
            raise
        # After an error in the next lines, the next cycle hands these claims back.
        self._claims_uncertain = True
        with self._lock:
            self._known.difference_update((job.id, job.token) for job, _ in finished)
            if runs:
                self._pace.claim()
            self._admit(runs, ahead)
            self._known.update((job.id, job.token) for run in runs for job in run)
            self._claims_uncertain = False
            if room > 0:
                self._yields_until = None
            self._found = self._ready.unfinished if len(runs) < room and not self._missed else None
            self._offer_slots()
        if self._others_may_run_more(finished, len(runs) >= room):
            self._runtime.wake([f"queue:{self._queue}"])
        return bool(runs)

    def _admit(self, runs: list[Run], ahead: Mapping[int, KeyRun]) -> None:
        """Let threads take claimed runs; the caller holds the lock."""
        self._ready.add(self._pace.slow.last(runs), ahead)

    def _others_may_run_more(self, ends: list[tuple[ClaimedJob, Finish]], full: bool) -> bool:
        """Return whether these ends let other processes run jobs that they do not know yet.

        ``full``: this process has no room for more jobs. Other processes look for due jobs once in
        a poll interval, or more often.
        """
        known_from = self._runtime.clock.now() + int(self._runtime.policy.poll * 1000)
        full = full or self._claims.missed
        return any(
            (full and job.partition_id is not None)
            or (end.state not in FINISHED and end.run_at < known_from)
            for job, end in ends
        )

    def _hand_back_hoarded(self) -> None:
        """Hand back the claimed jobs if no thread took one for a while; see :class:`Pace`."""
        if self._ready and self._pace.hoards:
            self._ready.hand_back_all()
            self._slots_free = 0
            self._write_at = 0.0

    def _hand_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Make claimed jobs available without counting an attempt; the caller holds the lock."""
        self._finished += [(job, Finish("available", job.run_at, False, None)) for job in jobs]

    def _claims_ahead(self) -> bool:
        """Return whether to claim the next jobs of keys while threads run those before them.

        Then jobs of a key run while the ends of the run before are stored. This is done once for
        each run, if all runs have a thread. Slow jobs form no runs, because they gain nothing.
        """
        runs = len(self._ready) + self._pace.running
        return self._ready.has_keys and runs <= self._pace.useful_threads()

    def _offer_slots(self) -> None:
        threads = self._pace.useful_threads()
        if self._runtime.database.dialect == "sqlite":
            sys.setswitchinterval(QUICK_SWITCH if threads == 1 else SWITCH)
        self._slots_free = self._ready.threads_wanted(max(0, threads - self._slots_used))

    def _write_and_claim_or_give_back(
        self, finished: list[tuple[ClaimedJob, Finish]], room: int, ahead: Mapping[int, KeyRun]
    ) -> list[Run]:
        """Write and claim; if that fails, claim nothing and write the finished jobs one by one."""
        try:
            return self._write_and_claim(finished, room, ahead)
        except Exception as error:
            self._claims.forget_limits()
            if not finished or isinstance(error, StorageUnavailable):
                raise
            log.warning(
                "finished jobs are written one by one", queue=self._queue, error=describe(error)
            )
            give_back(self._runtime, finished)
            return []

    def _write_and_claim(
        self, finished: list[tuple[ClaimedJob, Finish]], room: int, ahead: Mapping[int, KeyRun]
    ) -> list[Run]:
        runtime = self._runtime
        now = runtime.clock.now()
        if not 0 <= now - self._compared_at < runtime.policy.lease * 1000:
            self._compared_at = now
            self._claims_uncertain = True
        with runtime.database.session():
            # Read first, so that an idle worker does not take the write lock.
            idle = not finished and not ahead and not self._claims_uncertain
            if idle and (room <= 0 or not self._claims.may_find_jobs(now)):
                return []
            if finished:
                failpoints.reach("ledger.before_complete")
            with runtime.database.transaction() as tx:
                now = runtime.clock.now()  # the wait for the write lock may have been long
                if self._claims_uncertain:
                    # Rows that this process does not know would never run while it lives.
                    with self._lock:
                        known = {token for _, token in self._known}
                    runtime.ledger.hand_back(tx, self._owner, self._queue, self._actors, known)
                own = runtime.ledger.end_many(tx, finished, now) if finished else []
                if room <= 0:
                    changes.append(tx, own)
                    return []
                runs = self._claims.claim(tx, room, now, self._pace.longest_run(), own, ahead)
                self._missed = self._claims.missed
                self._record_starts(tx, runs, now)
        if runs:
            failpoints.reach("ledger.after_claim")
        return runs

    def _record_starts(self, tx: Transaction, runs: list[Run], now: int) -> None:
        """Record starts in the transaction of a claim; threads record those of their suspects."""

    def _room(self) -> int:
        """Return how many jobs to claim now: 0 while enough are claimed and not started.

        PERF: claiming few jobs at a time needs many transactions, which delay running jobs.
        """
        limit = self._pace.limit()
        if self._pace.all_threads_are_slow:
            # Jobs claimed now may wait behind slow jobs, so claim for free threads only.
            return self._threads - self._pace.running - len(self._ready)
        if len(self._ready) * 2 > limit - self._threads or self._has_enough():
            return 0
        if self._yields():
            return 0
        return limit - self._ready.unfinished

    def _yields(self) -> bool:
        """Return whether to leave new jobs to other processes for a moment: no thread is free."""
        if self._yields_until is None or self._pace.running < self._threads:
            return False
        return time.monotonic() < self._yields_until

    def _has_enough(self) -> bool:
        """Return whether to run what a claim found, which was less than wanted, before the next.

        PERF: limits leave few jobs for a claim, so it finds more if most of the places are free.
        """
        if self._found is None or self._claims_ahead() or time.monotonic() >= self._write_at:
            return False
        return len(self._ready) * 4 > self._found

    def _wait(self) -> None:
        with self._lock:
            if self._finished and self._enough_done() and self._room() > 0:
                return
            busy = bool(self._ready.unfinished or self._finished) or self._stopping.is_set()
            # From now on a thread that has finished enough jobs interrupts the wait.
            self._waiting = True
        seconds = FLUSH_INTERVAL if busy else self._until_due()
        if self._ready and self._slots_used < self._threads:  # see Pace.useful_threads
            seconds = min(seconds, SHARE_MILLISECONDS / 1000)
        if self._missed:
            # The other process may have no room for these jobs, and sends no wake-up.
            self._missed = False
            seconds = min(seconds, MISSED_INTERVAL)
        if self._yields():
            seconds = min(seconds, YIELD_SECONDS)
        if self._listener.wait(seconds):
            self._found = None
            if self._yields_until is None:
                self._yields_until = time.monotonic() + YIELD_SECONDS
        self._waiting = False

    def _until_due(self) -> float:
        """Return the seconds until a job is due, at most the poll interval."""
        runtime = self._runtime
        with runtime.database.session():
            due = self._claims.next_due()
        longest = min(runtime.policy.poll, self._beats.every)
        if due is None:
            return longest
        return min(longest, max(0.0, (due - runtime.clock.now()) / 1000))

    def _enough_done(self) -> bool:
        """Return whether to write ends and claim more: half is done, or a thread has no work."""
        half_done = self._ready.unfinished * 2 < self._pace.limit()
        return not self._ready or (half_done and not self._has_enough())

    @property
    def claimed(self) -> int:
        """The number of claimed jobs whose ends are not written yet."""
        return len(self._known)

    @property
    def may_start(self) -> bool:
        """Whether threads may start jobs: not while the process stops."""
        return not self._stopping.is_set()

    @property
    def has_ready_jobs(self) -> bool:
        """Whether claimed jobs wait for a thread."""
        return bool(self._ready)

    def take(self) -> Run | None:
        """Return the next jobs for a thread to run one after another, or None."""
        if not self.may_start:
            return None
        with self._lock:
            run = self._ready.take()
            if run is not None:
                self._taken += 1
                self._pace.take(run)
            return run

    def stalls(self) -> bool:
        """Return True if claimed jobs wait and no thread has taken one since the last call."""
        idle = bool(self._ready) and self._taken == self._seen
        self._seen = self._taken
        return idle

    def has_waiting_job(self) -> bool:
        """Return whether a job waits for a thread of this process."""
        if self._ready:
            return True
        try:
            with self._runtime.database.session():
                return self._claims.may_find_jobs(self._runtime.clock.now())
        except StorageError:
            return False

    def finish(self, run: Run, ends: Sequence[tuple[Finish, float]]) -> None:
        """Note the ends of jobs that a thread has run, and how many seconds each one took.

        Ends are written with the next batch, unless they are stored. Jobs without an end did not
        run, and are handed back.
        """
        with self._lock:
            self._pace.end(run)
            for job, (end, seconds) in zip(run, ends, strict=False):
                self._pace.measure(job, seconds)
                if end.stored:
                    self._known.discard((job.id, job.token))
                else:
                    self._finished.append((job, end))
            self._ready.end(run, [end for end, _ in ends])
            wake = self._waiting and self._enough_done()
            if wake:
                self._waiting = False
        if wake:
            self._listener.interrupt()

    def end_slot(self) -> None:
        """End a worker slot; offer another slot if claimed jobs wait."""
        with self._lock:
            self._slots_used -= 1
            if self.may_start:
                self._offer_slots()
            wake = self._slots_free > 0
        if wake:
            self._listener.interrupt()

    def ack(self, message: MessageProxy) -> None:
        """Nothing to do for a worker slot."""

    def nack(self, message: MessageProxy) -> None:
        """Nothing to do: the end of each attempt is in the ledger."""

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Nothing to do: :meth:`close` hands back jobs that were not started."""

    def stop_taking(self) -> None:
        """Claim and start no more jobs; finished jobs are still written."""
        self._stopping.set()
        self._listener.interrupt()

    def close(self) -> None:
        """Hand back unstarted jobs without counting an attempt, write finished ones, stop."""
        self._stopping.set()
        with self._lock:
            self._ready.hand_back_all()
        try:
            self._cycle()
        except StorageUnavailable as error:
            # The jobs stay claimed until the lease of this process expires.
            log.warning("finished jobs not written", queue=self._queue, error=str(error))
        self._listener.close()
        sys.setswitchinterval(SWITCH)
