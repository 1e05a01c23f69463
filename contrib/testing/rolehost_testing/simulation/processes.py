"""Simulated processes: they offer the work of the roles' threads as single activities."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rolehost import failpoints
from rolehost.api.handlers import Handler
from rolehost.api.retries import Outcome
from rolehost.composition.model import Composition
from rolehost.delivery import leases, retention, sweep
from rolehost.delivery.coroutines import EndedCoroutine
from rolehost.delivery.guarded import guard_of
from rolehost.delivery.jobs import ClaimedJob, Finish
from rolehost.delivery.leases import Identity, Presence
from rolehost.delivery.members import Together, run_together
from rolehost.delivery.relay import Relay
from rolehost.delivery.runner import End, Runner, run_in_order
from rolehost.delivery.runs import ends_before
from rolehost.delivery.ticks import Ticker
from rolehost.roles.background import RETENTION_SECONDS, SWEEP_SECONDS
from rolehost.roles.process import Process
from rolehost.roles.worker.ledger import LedgerConsumer
from rolehost.storage import Listener

from rolehost_testing.simulation.consuming import SimulatedGroup, SimulatedLanes
from rolehost_testing.simulation.fibers import Fiber, FiberLock, InFiber

if TYPE_CHECKING:
    from rolehost_testing.simulation.stepping import Stepping


class Activity(NamedTuple):
    """An activity that a process can start now.

    Attributes:
        label: its name; a process runs one activity per label at a time.
        work: the function to run.
    """

    label: str
    work: Callable[[], object]


class OneByOneConsumer(LedgerConsumer):
    """The consumer of the asynchronous actors of a queue; it claims one job of a key."""

    one_by_one = True


class SimulatedProcess(Process):
    """One process of a role, with fibers as threads.

    Attributes:
        run: the run that it belongs to.
        name: its name in the trace: role, deployment if there are several, slot, incarnation.
        dead: whether it has crashed.
        frozen: whether it is stopped, as with SIGSTOP.
        fibers: its threads.
        lanes: the lanes of its consumer groups.
        busy: labels of its running activities.
    """

    def __init__(
        self,
        run: Stepping,
        composition: Composition,
        role: Any,
        slot: int,
        incarnation: int,
        *,
        prefix: str = "",
    ) -> None:
        self.run = run
        self.place = f"{prefix}{role}.{slot}"
        self.name = f"{self.place}.{incarnation}"
        super().__init__(
            composition,
            role=role,
            slot=slot,
            incarnation=incarnation,
            clock=run.clock,
            random=random.Random(f"{run.seed} {self.name}"),
            background=False,
        )
        self.dead = False
        self.frozen = False
        self.fibers: list[Fiber] = []
        self.lanes: SimulatedLanes = SimulatedLanes(run.threads)
        self.busy: set[str] = set()
        self._begun = False
        self._relay: Relay | None = None
        self._consumers: dict[str, LedgerConsumer] = {}
        self._groups: list[SimulatedGroup] = []
        self._ticker: Ticker | None = None
        self._tick_at = 0
        self._due: dict[str, int] = {}
        self._look_at: dict[str, int] = {}

    def provide(self) -> None:
        """Start the services of the process, but no threads."""
        services = self._provision()
        for service_type, make in self.run.replaced.items():
            services.singletons.made[service_type] = make()
        services.singletons.made["threads"] = InFiber(self.run.fibers)
        if "database" in self.composition.backends:
            guard = guard_of(services.database)
            guard.execution_id = self.run.fibers.number
            guard.simulated_loop = self.run.fibers.in_coroutine
        self.start()
        self.identity = Identity(
            self.name, services.deployment, self.role, self.slot, self.incarnation
        )
        if "database" not in self.composition.backends:
            self._begun = True
            return
        policy = services.delivery.policy
        self._presence = Presence(services.database, self.run.clock, policy.lease)
        if "stream" in services.backends and self.composition.publishes:
            self._relay = Relay(services.delivery, services.stream, self.name)
            self._listener = services.queue.listen(["outbox", "leases"])

    def begin(self) -> None:
        """Insert the row of the process and start work; see :mod:`rolehost.roles.background`."""
        self._presence.renew(self.identity)
        sweep.release_dead(self.services.delivery)
        now = self.run.clock.elapsed
        self._offset = self.run.clock.milliseconds - now
        self._due = {
            "renew": now + int(self.services.delivery.policy.heartbeat * 1000),
            "sweep": now + int(SWEEP_SECONDS * 1000),
            "retain": now + int(RETENTION_SECONDS * 1000),
        }
        {"worker": self._work, "consumer": self._consume, "scheduler": self._schedule}.get(
            self.role, lambda: None
        )()
        self._begun = True

    def activities(self) -> list[Activity]:
        """Return the activities that it can start now."""
        if not self._begun:
            return [] if "begin" in self.busy else [Activity("begin", self.begin)]
        return [each for each in self._offers() if each.label not in self.busy]

    def _offers(self) -> Iterator[Activity]:
        now = self.run.clock.elapsed
        if not any(name in self.busy for name in self._due):
            # The maintenance loop is one thread, which renews leases before anything else.
            for name, due in self._due.items():
                if now >= due:
                    yield Activity(name, getattr(self, f"_{name}"))
                    break
        if self._ticker is not None and now >= self._tick_at:
            yield Activity("tick", self._tick)
        if self._relay is not None and self._awake("outbox", self._listener):
            yield Activity("relay", self._relays)
        for name, consumer in self._consumers.items():
            if self._awake(name, consumer._listener) or consumer._finished:
                yield Activity(f"claim {name}", partial(self._claim, name, consumer))
            if consumer._ready:
                yield from self._slots("job", partial(self._job, name, consumer))
        for group in self._groups:
            if group.waiting or self._awake(group.name, None):
                yield Activity(f"poll {group.name}", partial(self._poll, group))
            if group.dirty:
                yield Activity(f"commit {group.name}", group.commit)
            if group.may_retry:
                yield Activity(f"retry {group.name}", group.retry)
        if self.lanes.ready:
            yield from self._slots("handle", self.lanes.work)

    def _slots(self, label: str, work: Callable[[], object]) -> Iterator[Activity]:
        """Offer work of a pool of threads, if one of its slots is free."""
        for slot in range(self.run.threads):
            if f"{label} {slot}" not in self.busy:
                yield Activity(f"{label} {slot}", work)
                return

    def _renew(self) -> None:
        self._due["renew"] = self.run.clock.elapsed + int(
            self.services.delivery.policy.heartbeat * 1000
        )
        # A process notices at its heartbeat that the clock was set back.
        offset = self.run.clock.milliseconds - self.run.clock.elapsed
        step, self._offset = offset - self._offset, offset
        if -step > self.services.delivery.policy.heartbeat * 1000:
            sweep.rewind_limits(self.services.delivery)
        self._presence.renew(self.identity)

    def _leads(self) -> bool:
        runtime = self.services.delivery
        ttl = runtime.policy.lease
        return leases.acquire(runtime.database, runtime.clock, "sweep", self.name, ttl)

    def _sweep(self) -> None:
        self._due["sweep"] = self.run.clock.elapsed + int(SWEEP_SECONDS * 1000)
        if self._leads():
            sweep.release_dead(self.services.delivery)
            sweep.end_expired(self.services.delivery)
            sweep.recount_limits(self.services.delivery)

    def _retain(self) -> None:
        self._due["retain"] = self.run.clock.elapsed + int(RETENTION_SECONDS * 1000)
        if self._leads():
            retention.delete_expired(self.services.delivery)

    def _awake(self, name: str, listener: Listener | None) -> bool:
        """Return whether a waiting thread was woken, or its poll interval has passed."""
        woken = listener is not None and bool(listener.woken)  # type: ignore[attr-defined]
        return woken or self.run.clock.elapsed >= self._look_at.get(name, 0)

    def _looked(self, name: str, seconds: float) -> None:
        self._look_at[name] = self.run.clock.elapsed + int(seconds * 1000)

    def _relays(self) -> None:
        assert self._relay is not None  # the activity is offered only if there is a relay
        if "leases" in self._listener.wait(0.0):
            self._relay.try_leases()
        if not self._relay.step():
            self._looked("outbox", self.services.delivery.policy.poll)

    def _work(self) -> None:
        services, settings = self.services, self.composition.deployment.host.worker
        self._runner = Runner(services.delivery, services, wait_for=self._wait_for)
        self._runner.quarantine = FiberLock(self.run.fibers)
        by_kind: dict[tuple[str, bool], list[str]] = {}
        for owned in self.composition.actors.values():
            if owned.value.durable:
                kind = (owned.value.queue, owned.value.is_async)
                by_kind.setdefault(kind, []).append(owned.value.name)
        for queue, is_async in sorted(by_kind):
            if settings.queues is None or queue in settings.queues:
                make = OneByOneConsumer if is_async else LedgerConsumer
                self._consumers[f"{queue} async" if is_async else queue] = make(
                    services.delivery,
                    queue=queue,
                    actors=by_kind[queue, is_async],
                    owner=self.name,
                    threads=self.run.threads,
                    most=settings.prefetch,
                    listener=services.queue.listen([f"queue:{queue}"]),
                    beats=self.beats,
                )

    def _wait_for(self, job: ClaimedJob) -> ClaimedJob:
        """Run the coroutine of a job, which awaits nothing outside of the simulation."""
        began = self.run.clock.now()
        coroutine = self._runner.begin(job, self.services.delivery.declared.actors[job.actor])
        outcome: Outcome = None
        failure: Exception | None = None
        try:
            with self.run.fibers.coroutine(True):
                coroutine.send(None)
            coroutine.close()
            failure = RuntimeError("an asynchronous actor awaited something outside a simulation")
        except StopIteration as end:
            outcome = end.value
        except failpoints.Crash:
            raise
        except Exception as error:
            failure = error
        return msgspec.structs.replace(job, coroutine=EndedCoroutine(began, outcome, failure))

    def _with_coroutine(self, job: ClaimedJob) -> ClaimedJob:
        """Run the coroutine before the attempt; not that of a suspect, see :class:`Runner`."""
        waits = job.suspect or job.cancel or job.row_error is not None
        is_async = self.services.delivery.declared.actors[job.actor].is_async
        return self._wait_for(job) if is_async and not waits else job

    def _claim(self, name: str, consumer: LedgerConsumer) -> None:
        consumer._listener.wait(0.0)
        # Write finished jobs now, without waiting for the write interval.
        consumer._write_at = 0.0
        if not consumer._cycle():
            self._looked(name, consumer._until_due())

    def _job(self, name: str, consumer: LedgerConsumer) -> None:
        run = consumer.take()
        if run is None:
            return
        ends: list[tuple[Finish, float]] = []
        try:
            # In a worker, coroutines run beside each other, and then become ready for a group.
            jobs = [self._with_coroutine(job) for job in run]
            if isinstance(run, Together):
                run_together(self._runner, jobs, self._attempt, ends)
            else:
                run_in_order(jobs, partial(self._attempt, self._runner), ends, ends_before(run))
        finally:
            consumer.finish(run, ends)
            # The end of a job interrupts the wait of the real consumer.
            self._look_at.pop(name, None)

    def _attempt(
        self, runner: Runner, job: ClaimedJob, earlier: Sequence[End] = ()
    ) -> tuple[Finish, float]:
        began = self.run.clock.now()
        end = runner.run(job, earlier)
        return end, (self.run.clock.now() - began) / 1000

    def _consume(self) -> None:
        by_group: dict[str, list[Handler]] = {}
        for owned in self.composition.handlers:
            by_group.setdefault(owned.value.group, []).append(owned.value)
        self._groups = [SimulatedGroup(self, *each) for each in by_group.items()]

    def _poll(self, group: SimulatedGroup) -> None:
        group.poll()
        group.replay()
        self._looked(group.name, self.services.delivery.policy.poll)

    def _schedule(self) -> None:
        settings = self.composition.deployment.host.scheduler
        schedules = [owned.value for owned in self.composition.schedules]
        self._lease = settings.lease
        self._ticker = Ticker(self.services.delivery, schedules, self.name, settings.lease)

    def _tick(self) -> None:
        assert self._ticker is not None  # the activity is offered only if there is a ticker
        wait = self._ticker.step() if self._ticker.lead() else self._lease
        self._tick_at = self.run.clock.elapsed + int(min(wait, self._lease / 3) * 1000)
