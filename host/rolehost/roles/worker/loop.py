"""Runs the worker role: one Dramatiq worker until the process is told to stop."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import copy_context
from typing import Any

import dramatiq
import structlog
from dramatiq.errors import Retry as Again
from dramatiq.middleware import (
    AgeLimit,
    Retries,
    Shutdown,
    ShutdownNotifications,
    TimeLimit,
)
from dramatiq.threading import Interrupt
from structlog.contextvars import bind_contextvars

from rolehost.api import values
from rolehost.api.contributions import Actor
from rolehost.delivery import messages
from rolehost.delivery.arguments import Signature
from rolehost.delivery.ledger import ClaimedJob, Finish
from rolehost.delivery.runner import Runner
from rolehost.roles.life import live
from rolehost.roles.process import Process
from rolehost.roles.worker.broker import HostBroker
from rolehost.roles.worker.consumer import LedgerConsumer, turn_of
from rolehost.roles.worker.crashes import Crashes
from rolehost.roles.worker.telling import REPLACED, Telling
from rolehost.services.transport import ephemeral_queue

log = structlog.get_logger(__name__)

#: Milliseconds after which idle Dramatiq threads look whether they were stopped.
IDLE = 200


#: Seconds after which a thread that runs one queue's jobs looks whether other queues wait.
TURN = 0.05

#: Milliseconds in which an interrupted job must end.
INTERRUPTED = 2000

#: What structlog adds to every line of a job. PERF: binding them by name costs much more.
_BOUND = copy_context().run(bind_contextvars, job_id=0, actor="")
_JOB_ID, _ACTOR = _BOUND["job_id"].var, _BOUND["actor"].var


def run(process: Process) -> int:
    """Take jobs until TERM or INT; return the exit status."""
    return live(process, WorkerRole)


class WorkerRole:
    """The Dramatiq worker of a process, over the ledger and the ephemeral transport."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._settings = process.composition.deployment.host.worker
        actors = [owned.value for owned in process.composition.actors.values()]
        wanted = self._settings.queues
        self._actors = [each for each in actors if wanted is None or each.queue in wanted]
        services = process.services
        lasting = any(each.durable for each in self._actors)
        passing = {each.name: each for each in self._actors if not each.durable}
        self._consumers: dict[str, LedgerConsumer] = {}
        self._limits: Any = TimeLimit()
        self._beats = process.beats
        #: Until when the job of each busy thread may run, monotonic seconds.
        self._busy: dict[int, float] = {}
        self._broker = HostBroker(
            # One life of a worker, one broker: a stopped worker leaves its middleware behind.
            middleware=[
                AgeLimit(),
                Telling(passing),
                *([Crashes(passing, self._given_up)] if passing else []),
                self._limits,
                ShutdownNotifications(notify_shutdown=True),
                Retries(),
            ],
            consumer=self._consumer,
            ephemeral=services.transport.broker if passing else None,
        )
        # Durable jobs are interrupted by these; a shutdown hands them back uncounted.
        self._runner = Runner(services.delivery, services, (Shutdown,)) if lasting else None
        for queue in sorted({actor.queue for actor in self._actors if actor.durable}):
            self._declare_turns(queue)
        self._time_limit = {actor.name: _milliseconds(actor.time_limit) for actor in self._actors}
        for actor in passing.values():
            self._declare_ephemeral(actor)
        for name in REPLACED:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._worker = dramatiq.Worker(
            self._broker, worker_threads=self._settings.threads, worker_timeout=IDLE
        )
        process.in_flight = self._in_flight

    def start(self) -> None:
        """Start consumers and threads."""
        # TimeLimit and ShutdownNotifications begin their timers at process boot, which only
        # Dramatiq's own command line announces.
        self._broker.emit_after("process_boot")
        self._worker.start()

    def look(self) -> None:
        """Beat for the threads, unless all of them are late, or idle beside claimed jobs."""
        now = time.perf_counter()
        late = sum(until < now for until in list(self._busy.values()))
        consumers = list(self._consumers.values())
        full = late >= self._settings.threads
        if not full or (consumers and not any(each.waits() for each in consumers)):
            self._beats.beat("threads, which are all in jobs past their time limit")
        idle = [each for each in consumers if each.idles()]
        if not idle or len(self._busy) >= self._settings.threads:
            self._beats.beat("threads, beside jobs that were claimed for them")

    def stop(self) -> None:
        """Take nothing more, let running jobs finish within the grace, hand back the rest."""
        for consumer in self._consumers.values():
            consumer.stop_taking()
        for thread in self._worker.workers:
            thread.stop()
        deadline = time.monotonic() + self._settings.grace
        for thread in self._worker.workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        # Interrupts what still runs, then hands back what was claimed and not started.
        self._worker.stop(timeout=INTERRUPTED)
        self._broker.close()

    def _in_flight(self) -> int:
        """Count the durable jobs that are claimed and unfinished."""
        return sum(consumer.outstanding for consumer in self._consumers.values())

    def _declare_turns(self, queue: str) -> None:
        dramatiq.Actor(
            lambda: self._turn(self._consumers[queue]),
            broker=self._broker,
            actor_name=turn_of(queue),
            queue_name=queue,
            priority=0,
            # Time limits are those of the jobs within.
            options={"time_limit": float("inf"), "max_retries": 0},
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
                "max_backoff": int(actor.retry.longest * 1000),
            },
        )

    def _consumer(self, queue: str) -> LedgerConsumer:
        services = self._process.services
        listener = (
            services.queue.listen([f"queue:{queue}"])
            if "queue" in self._process.composition.backends
            else None
        )
        consumer = LedgerConsumer(
            services.delivery,
            queue=queue,
            actors=[each.name for each in self._actors if each.durable and each.queue == queue],
            owner=self._process.identity.id,
            threads=self._settings.threads,
            most=self._settings.prefetch,
            listener=listener,
            beats=self._beats,
        )
        self._consumers[queue] = consumer
        return consumer

    def _turn(self, consumer: LedgerConsumer) -> None:
        """Run claimed jobs of a queue until there are none, or others have waited enough."""
        until = time.perf_counter() + TURN
        try:
            while (job := consumer.take()) is not None:
                if self._run(consumer, job) > until:
                    break
        finally:
            consumer.turn_over()

    def _run(self, consumer: LedgerConsumer, job: ClaimedJob) -> float:
        """Run one attempt and give its end to the consumer; return when it was over."""
        assert self._runner is not None  # made because there is a durable actor
        # An interrupt that strikes outside the attempt decides nothing.
        end: Finish | None = Finish("available", job.run_at, False, None)
        thread = threading.get_ident()
        began = time.perf_counter()
        try:
            self._busy[thread] = began + self._time_limit[job.actor] / 1000
            self._limits.manager.add_timeout(thread, self._time_limit[job.actor])
            # What is set within, by an actor too, ends with the copy.
            end = copy_context().run(self._attempt, self._runner, job)
        finally:
            self._limits.manager.remove_timeout(thread)
            self._busy.pop(thread, None)
            over = time.perf_counter()
            consumer.done(job, end, over - began)
        return over

    @staticmethod
    def _attempt(runner: Runner, job: ClaimedJob) -> Finish | None:
        _JOB_ID.set(job.id)
        _ACTOR.set(job.actor)
        return runner.run(job)

    def _given_up(self, actor: str) -> None:
        self._process.services.recorders.job(actor, "dead", 0.0, 0.0)

    def _ephemeral(self, actor: Actor) -> Any:
        signature = Signature(actor)
        services = self._process.services
        recorder = services.recorders

        def call(**arguments: Any) -> None:
            began = time.perf_counter()
            outcome = "retrying"
            thread = threading.get_ident()
            self._busy[thread] = began + (actor.time_limit or float("inf"))
            try:
                messages.call(actor, signature, services, arguments, (Interrupt,))
                outcome = "completed"
            except Again as error:
                if error.delay is not None:  # else the message would be lost in the middleware
                    values.integer("delay of dramatiq.errors.Retry", error.delay, least=0)
                raise
            finally:
                self._busy.pop(thread, None)
                # How long it waited is known to the transport alone.
                recorder.job(actor.name, outcome, 0.0, time.perf_counter() - began)

        return call


def _milliseconds(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds * 1000
