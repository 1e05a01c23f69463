"""The worker role: a pool of threads that runs the jobs of the ledger and ephemeral messages.

The threads belong to one Dramatiq worker. A thread runs durable jobs in a worker slot
(:mod:`rolehost.roles.worker.ledger`), with Dramatiq's TimeLimit and ShutdownNotifications.
"""

from __future__ import annotations

import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from itertools import takewhile
from typing import Any

import dramatiq
import structlog
from dramatiq.errors import Retry as DramatiqRetry
from dramatiq.middleware import AgeLimit, Retries, Shutdown, ShutdownNotifications
from dramatiq.threading import Interrupt
from msgspec.structs import replace
from structlog.contextvars import bind_contextvars

from rolehost import joblog
from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.delivery.arguments import Signature
from rolehost.delivery.coroutines import EndedCoroutine, Stopping
from rolehost.delivery.jobs import ClaimedJob, Finish
from rolehost.delivery.members import Ended, Together, run_together
from rolehost.delivery.runner import End, Runner, run_in_order, run_message
from rolehost.delivery.runs import Run, ends_before
from rolehost.roles.coroutines import LATE, Coroutines, Running
from rolehost.roles.lifecycle import run_role
from rolehost.roles.process import Process
from rolehost.roles.stuck import LATE_SECONDS, Stuck, StuckAttempts, stack_of
from rolehost.roles.worker.async_ledger import AsyncConsumer
from rolehost.roles.worker.broker import HostBroker
from rolehost.roles.worker.ephemeral import FailureLog, PoisonMessages
from rolehost.roles.worker.ledger import LedgerConsumer, slot_actor
from rolehost.roles.worker.limits import Quarantine, TimeLimits
from rolehost.roles.worker.shares import Shares
from rolehost.services.transport import ephemeral_queue

log = structlog.get_logger(__name__)

#: The interval in which idle Dramatiq threads check whether they must stop.
IDLE_MILLISECONDS = 200

#: The time after which a thread ends its worker slot, so that other queues get one.
SLOT_SECONDS = 0.05

#: Before the name of a queue: the queue of the worker slots of its asynchronous actors.
ASYNC_SLOTS = "rolehost.async."

#: The time in which an interrupted job must end.
INTERRUPT_MILLISECONDS = 2000

#: Fields of every log line of a job. PERF: binding them by name costs much more.
_BOUND = copy_context().run(bind_contextvars, job_id=0, actor="")
_JOB_ID, _ACTOR = _BOUND["job_id"].var, _BOUND["actor"].var


def run(process: Process) -> int:
    """Take jobs until TERM or INT; return the exit status."""
    return run_role(process, WorkerRole)


class WorkerRole:
    """The Dramatiq worker of a process, which runs jobs of the ledger and ephemeral messages."""

    def __init__(self, process: Process) -> None:
        self._process = process
        services = process.services
        self._settings = settings = process.composition.deployment.host.worker
        actors = [owned.value for owned in process.composition.actors.values()]
        if settings.queues is not None:
            actors = [each for each in actors if each.queue in settings.queues]
        self._durable = [each for each in actors if each.durable]
        ephemeral = {each.name: each for each in actors if not each.durable}
        self._beats = process.beats
        self._consumers: dict[str, LedgerConsumer] = {}
        self._time_limit = {actor.name: _milliseconds(actor.time_limit) for actor in actors}
        self._limits = TimeLimits(self._time_limit)
        self._shares = Shares(
            {**settings.weights, **{ASYNC_SLOTS + each: n for each, n in settings.weights.items()}}
        )
        #: Thread → its consumer, its run of jobs, and the ends of those that have ended.
        self._runs: dict[int, tuple[LedgerConsumer, Run, list[Ended]]] = {}
        #: Threads whose stuck jobs have failed.
        self._given_up: set[int] = set()
        self._broker = HostBroker(
            # A new broker for each worker, because a stopped worker does not remove its middleware.
            middleware=[
                AgeLimit(),
                FailureLog(ephemeral),
                *([PoisonMessages(ephemeral, self._record_dead)] if ephemeral else []),
                self._limits.middleware,
                ShutdownNotifications(notify_shutdown=True),
                Retries(),
            ],
            consumer=self._consumer,
            ephemeral=services.transport.broker if ephemeral else None,
        )
        self._coroutines = Coroutines(services.clock.now, self._beats)
        self._stuck = StuckAttempts(services, self._find_stuck, process.replace)
        if self._durable:
            # A shutdown interrupts durable jobs and hands them back without counting an attempt.
            self._runner = runner = Runner(services.delivery, services, (Shutdown, Stopping))
            runner.quarantine = Quarantine(self._limits)
            runner.wait_for = self._wait_for
            for queue in sorted({self._slots(actor) for actor in self._durable}):
                self._declare_slots(queue, runner)
        for actor in ephemeral.values():
            self._declare_ephemeral(actor)
        self._worker = dramatiq.Worker(
            self._broker, worker_threads=settings.threads, worker_timeout=IDLE_MILLISECONDS
        )
        process.in_flight = self._in_flight

    def start(self) -> None:
        """Start consumers and threads."""
        # TimeLimit and ShutdownNotifications start their timers at this signal. Without the host,
        # Dramatiq's command line emits it.
        self._broker.emit_after("process_boot")
        if any(actor.is_async for actor in self._durable):
            self._coroutines.open()
        if self._durable and self._beats.watched:
            self._stuck.watch()
        self._worker.start()

    def report_progress(self) -> None:
        """Send heartbeats, unless all threads are past their time limit or none takes jobs."""
        consumers = list(self._consumers.values())
        full = self._limits.passed() >= self._settings.threads
        if not full or (consumers and not any(each.has_waiting_job() for each in consumers)):
            self._beats.beat("worker threads (all are past their time limit)")
        idle = [each for each in consumers if each.stalls()]
        if not idle or self._limits.busy >= self._settings.threads:
            self._beats.beat("worker threads (claimed jobs are not started)")

    def stop(self) -> None:
        """Take no more jobs, let running ones finish within the grace, hand back the rest.

        Jobs that do not end after their time limits fail; the consumers write their ends at once.
        """
        grace = self._stuck.stop(self._settings.grace)
        for consumer in self._consumers.values():
            consumer.stop_taking()
        self._fail_late(LATE_SECONDS)
        deadline = time.monotonic() + grace
        self._drain_coroutines(grace)
        for thread in self._worker.workers:
            thread.stop()
        for thread in self._worker.workers:
            if thread.ident not in self._given_up:
                thread.join(max(0.0, deadline - time.monotonic()))
        self._fail_late(0.0)
        # This interrupts running jobs, then hands back jobs that were claimed and not started.
        self._worker.stop(timeout=INTERRUPT_MILLISECONDS)
        self._broker.close()
        self._coroutines.close()

    def _drain_coroutines(self, grace: float) -> None:
        """Let coroutines end within the grace, interrupt the others, and end their jobs."""
        seconds = INTERRUPT_MILLISECONDS / 1000
        self._coroutines.end_late(LATE_SECONDS)
        self._coroutines.drain(grace, seconds)
        self._coroutines.end_late(0.0)
        for consumer in self._consumers.values():
            if isinstance(consumer, AsyncConsumer):
                consumer.drain(seconds)

    def _find_stuck(self) -> list[Stuck]:
        found = self._coroutines.stuck(LATE_SECONDS)
        for thread, job in self._limits.late(LATE_SECONDS).items():
            fields = {"job_id": job.id, "actor": job.actor}
            found.append(Stuck(f"{job.actor} (job {job.id})", fields, partial(stack_of, thread)))
        return found

    def _fail_late(self, seconds: float) -> None:
        """End the jobs that threads run ``seconds`` after their time limits, as failed.

        The threads go on, so this process must end soon. What they do for the job is undone.
        """
        for thread, job in self._limits.late(seconds).items():
            found = self._runs.pop(thread, None)
            if found is not None:  # otherwise its run has ended just now
                self._given_up.add(thread)
                # On SQLite no end can be written before that.
                self._process.services.database.abandon(thread)
                consumer, run, ended = found
                consumer.finish(run, self._with_late(run, list(ended), job))

    def _with_late(self, run: Run, ends: list[Ended], late: ClaimedJob) -> list[Ended]:
        """Return the ends of a run and that of its late job; the jobs before that go back."""
        rest = run[len(ends) :]
        if late not in rest:
            return ends  # it has ended just now
        before = [
            (Finish("available", job.run_at, False, None), 0.0) for job in rest[: rest.index(late)]
        ]
        limit = self._time_limit[late.actor]
        error = TimeoutError(LATE.format(limit / 1000))
        began = self._process.services.clock.now() - int(limit)
        # An attempt that fails, as after a coroutine. A suspect would wait for other ones.
        failed = replace(late, coroutine=EndedCoroutine(began, None, error), suspect=0)
        return [*ends, *before, (self._runner.run(failed), limit / 1000)]

    def _in_flight(self) -> int:
        return sum(consumer.claimed for consumer in self._consumers.values())

    def _declare_slots(self, queue: str, runner: Runner) -> None:
        dramatiq.Actor(
            lambda: self._run_slot(queue, runner),
            broker=self._broker,
            actor_name=slot_actor(queue),
            queue_name=queue,
            priority=0,
            # Each job in the slot has its own time limit.
            options={"time_limit": float("inf"), "max_retries": 0},
        )

    @staticmethod
    def _slots(actor: Actor) -> str:
        """Return the queue of the worker slots in which threads run the jobs of an actor."""
        return (ASYNC_SLOTS if actor.is_async else "") + actor.queue

    def _wait_for(self, job: ClaimedJob) -> ClaimedJob:
        """Run a coroutine while its thread waits; the thread's time limit begins after it."""
        with self._limits.waiting():
            ended: ClaimedJob = self._coroutines.run(partial(self._coroutine, job))
            return ended

    def _coroutine(self, job: ClaimedJob, on_end: Callable[[ClaimedJob], object]) -> Running:
        """Return what runs the coroutine of a job; ``on_end`` gets the job with its end."""
        actor, lines = self._runner.runtime.declared.actors[job.actor], joblog.new()

        def end(ended: EndedCoroutine) -> None:
            cancelled = ended.error is not None and issubclass(type(ended.error), CancelledError)
            on_end(replace(job, coroutine=ended._replace(lines=lines), cancel=int(cancelled)))

        return Running(
            (job.id, job.token),
            f"{job.actor} (job {job.id})",
            {_JOB_ID: job.id, _ACTOR: job.actor, joblog.kept: lines},
            actor.time_limit,
            partial(self._runner.enter, job),
            partial(self._runner.begin, job, actor),
            end,
        )

    def _declare_ephemeral(self, actor: Actor) -> None:
        dramatiq.Actor(
            self._ephemeral(actor),
            broker=self._broker,
            actor_name=actor.name,
            queue_name=ephemeral_queue(actor.queue),
            priority=actor.priority,
            options={
                "time_limit": _milliseconds(actor.time_limit),
                "max_retries": actor.retry.attempts - 1,
                "min_backoff": int(actor.retry.base * 1000),
                "max_backoff": int(actor.retry.max_delay * 1000),
            },
        )

    def _consumer(self, slots: str) -> LedgerConsumer:
        queue = slots.removeprefix(ASYNC_SLOTS)
        make: Callable[..., LedgerConsumer] = LedgerConsumer
        if queue != slots:
            make = partial(
                AsyncConsumer,
                coroutines=self._coroutines,
                attempt=self._coroutine,
                concurrency=self._settings.concurrency,
            )
        own = [actor for actor in self._durable if self._slots(actor) == slots]
        consumer = self._consumers[slots] = make(
            self._process.services.delivery,
            queue=queue,
            slots=slots,
            actors=[each.name for each in own],
            owner=self._process.identity.id,
            threads=self._settings.threads,
            most=self._settings.prefetch,
            listener=self._process.listen([f"queue:{queue}"]),
            beats=self._beats,
        )
        return consumer

    def _run_slot(self, slots: str, runner: Runner) -> None:
        """Run claimed jobs of a queue until there are no more, or for :data:`SLOT_SECONDS`."""
        began = time.perf_counter()
        offered = consumer = self._consumers[slots]
        expected = 0.0
        if self._settings.weights:
            # A slot is a free thread; the queue that offered it may have to leave it to another.
            ready = [name for name, each in self._consumers.items() if each.has_ready_jobs]
            slots, expected = self._shares.choose(ready or [slots])
            consumer = self._consumers[slots]
        try:
            while (run := consumer.take()) is not None:
                if self._run_in_order(consumer, runner, run) > began + SLOT_SECONDS:
                    break
        finally:
            self._shares.spend(slots, expected, time.perf_counter() - began)
            offered.end_slot()

    def _run_in_order(self, consumer: LedgerConsumer, runner: Runner, run: Run) -> float:
        """Run claimed jobs and pass their ends to the consumer; return the time of the end."""
        ends: list[Ended] = []
        thread = threading.get_ident()
        self._runs[thread] = consumer, run, ends

        def attempt(by: Runner, job: ClaimedJob, earlier: Sequence[End] = ()) -> Ended:
            if thread in self._given_up:  # a member of a group may follow a stuck one
                raise Shutdown
            return self._run(by, consumer.cancelled.mark(job), earlier)

        try:
            if isinstance(run, Together) and len(run) > 1:
                run_together(runner, run, attempt, ends)
            else:
                # A stopping process hands back the rest of a run.
                started = takewhile(lambda _: consumer.may_start, run)
                run_in_order(started, partial(attempt, runner), ends, ends_before(run))
        finally:
            try:
                # The time limit ends only now, so that the last member's limit covers the commit of
                # the group.
                self._limits.end()
            finally:  # also if the limit has passed just now
                if self._runs.pop(thread, None) is not None:
                    consumer.finish(run, ends)
        return time.perf_counter()

    def _run(self, runner: Runner, job: ClaimedJob, earlier: Sequence[End]) -> Ended:
        """Begin the time limit and run one attempt; return its end and how many seconds it took."""
        began = self._limits.begin(job)
        # A copy, so that context variables that the attempt sets do not stay.
        end = copy_context().run(self._attempt, runner, job, earlier)
        return end, time.perf_counter() - began

    @staticmethod
    def _attempt(runner: Runner, job: ClaimedJob, earlier: Sequence[End]) -> Finish:
        _JOB_ID.set(job.id)
        _ACTOR.set(job.actor)
        return runner.run(job, earlier)

    def _record_dead(self, actor: str) -> None:
        self._process.services.recorders.job(actor, "dead", 0.0, 0.0)

    def _ephemeral(self, actor: Actor) -> Any:
        signature = Signature(actor)
        services = self._process.services
        recorder = services.recorders

        def call(**arguments: Any) -> None:
            began = time.perf_counter()
            outcome = "retrying"
            self._limits.begin_ephemeral(actor.name)
            try:
                run_message(actor, signature, services, arguments, (Interrupt,))
                outcome = "completed"
            except DramatiqRetry as error:
                if error.delay is not None:  # otherwise the middleware would lose the message
                    values.integer("delay of dramatiq.errors.Retry", error.delay, minimum=0)
                raise
            finally:
                self._limits.end_ephemeral()
                # 0.0: only the transport knows how long the message waited.
                recorder.job(actor.name, outcome, 0.0, time.perf_counter() - began)

        return call


def _milliseconds(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds * 1000
