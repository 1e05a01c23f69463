"""Run the work of a host step by step: schedule ticks, outbox, events, jobs, messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from rolehost.api import Role
from rolehost.delivery import cron, sweep
from rolehost.delivery.due import DueJobs
from rolehost.delivery.leases import Presence
from rolehost.delivery.ticks import Ticker
from rolehost.errors import RolehostError
from rolehost.failpoints import Crash
from rolehost.roles.process import Process
from rolehost.services.transport import ephemeral_queue

from rolehost_testing.kit.events import Events, Relaying
from rolehost_testing.kit.jobs import Jobs
from rolehost_testing.kit.messages import Messages
from rolehost_testing.kit.processes import Processes
from rolehost_testing.kit.ran import Drained, Ran
from rolehost_testing.kit.world import World

#: Milliseconds after which a job is due that waits for something else than time, for example for
#: the step of its batch: 50 years.
HELD = 50 * 365 * 86_400_000

#: Maximum number of items that one drain runs; more are considered an endless loop.
MOST = 10_000


class Endless(RolehostError):
    """A drain did not end, because a job or event enqueues or publishes itself again."""


class Driving:
    """One drain of one host; a context manager.

    Within the block, the host's processes have leases and rows in the table of processes, like
    running processes. Both are released at the end, so that other hosts of the world can continue,
    except if the block ends with a simulated crash.

    Args:
        processes: the host's processes.
        world: the clock, and the published events.
        roles: the roles of which the host has processes.
    """

    def __init__(self, processes: Processes, world: World, roles: frozenset[Role]) -> None:
        composition = processes.composition
        self._processes = processes
        self._world = world
        self._roles = roles
        self._composition = composition
        self._used: list[Process] = []
        self._steps: list[Callable[[], list[Ran]]] = []
        self._left = ExitStack()
        self._jobs: Jobs | None = None

    def __enter__(self) -> Driving:
        kinds = self._composition.backends
        durable = {owned.value.durable for owned in self._composition.actors.values()}
        if "database" in kinds:
            with self._processes.within("command") as services:
                self._enter("command")
                sweep.release_dead(services.delivery)
        if self._composition.schedules and "scheduler" in self._roles:
            self._ticking()
        if "stream" in kinds and self._composition.publishes:
            self._relaying()
        if self._composition.handlers and "consumer" in self._roles:
            self._handling()
        if "worker" in self._roles:
            if True in durable:
                self._working()
            if False in durable:
                self._passing()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._left.close()
        if kind is not None and issubclass(kind, Crash):
            return
        for process in self._used:
            with self._processes.within(process.role):
                self._presence(process).remove(process.identity)

    def run(self, ran: Drained) -> None:
        """Run everything that is due, and append it to ``ran``.

        Raises:
            Endless: more than :data:`MOST` items ran.
        """
        most = len(ran) + MOST
        while True:
            before = len(ran)
            for step in self._steps:
                while came := step():
                    ran += came
                    if len(ran) > most:
                        raise Endless(
                            f"a drain ran {MOST} things and did not end; the last ones were"
                            f" {', '.join(ran.names[-5:])}. Does something enqueue itself?"
                        )
            if len(ran) == before and not self._waits():
                return

    def next_job(self) -> int | None:
        """Return when the next waiting job or message is due, in milliseconds, or None."""
        if "worker" not in self._roles:
            return None
        actors = [owned.value for owned in self._composition.actors.values()]
        queues = {ephemeral_queue(actor.queue) for actor in actors if not actor.durable}
        dues = [self._world.next_message(queues)] if queues else []
        if "database" in self._composition.backends:
            with self._processes.within("command") as services:
                dues.append(DueJobs(services.database, services.clock.now).next())
        if self._jobs is not None:
            with self._processes.within("worker"):
                dues.append(self._jobs.next_due())
        # A job that is due and still waits is not consumed by this host.
        now = self._world.clock.now()
        return min((due for due in dues if due is not None and 0 < due - now < HELD), default=None)

    def next_tick(self) -> int | None:
        """Return the time of the next schedule tick, in milliseconds, or None."""
        if "scheduler" not in self._roles:
            return None
        now = self._world.clock.now()
        due = [cron.following(owned.value, now) for owned in self._composition.schedules]
        return min(due, default=None)

    def _waits(self) -> bool:
        """Return whether the relay moved events, which the next round may handle."""
        waits, self._again = self._again, False
        return waits

    _again = False

    def _enter(self, role: str) -> Process:
        process = self._processes.of(role)
        self._presence(process).renew(process.identity)
        self._used.append(process)
        return process

    def _presence(self, process: Process) -> Presence:
        runtime = process.services.delivery
        return Presence(runtime.database, runtime.clock, runtime.policy.lease)

    def _ticking(self) -> None:
        process = self._enter("scheduler")
        # The process's own composition leaves out optional plugins that failed to start.
        schedules = [owned.value for owned in process.composition.schedules]
        lease = self._composition.deployment.host.scheduler.lease
        ticker = Ticker(process.services.delivery, schedules, process.identity.id, lease)

        def step() -> list[Ran]:
            with self._processes.within("scheduler"):
                if ticker.lead():
                    ticker.step()
            return []

        self._steps.append(step)

    def _relaying(self) -> None:
        process = self._processes.of("command")
        services = process.services
        owner, seen = process.identity.id, self._world.published
        relaying = Relaying(services.delivery, services.stream, owner, seen)

        def step() -> list[Ran]:
            with self._processes.within("command"):
                while relaying.step():
                    self._again = True
            return []

        self._steps.append(step)

    def _handling(self) -> None:
        process = self._enter("consumer")
        handlers = [owned.value for owned in process.composition.handlers]
        events = Events(process.services, handlers, self._world.clock)
        self._left.callback(events.leave)
        events.join()

        def step() -> list[Ran]:
            with self._processes.within("consumer"):
                return events.step()

        self._steps.append(step)

    def _working(self) -> None:
        process = self._enter("worker")
        jobs = Jobs(process.services, process.identity.id, self._processes.metrics)
        self._jobs = jobs
        jobs.keep(self._composition.deployment.host.worker.queues)

        def step() -> list[Ran]:
            with self._processes.within("worker"):
                ran = jobs.step()
            return [] if ran is None else [ran]

        self._steps.append(step)

    def _passing(self) -> None:
        process = self._processes.of("worker")
        actors = [owned.value for owned in process.composition.actors.values()]
        passing = [actor for actor in actors if not actor.durable]
        messages = Messages(process.services, passing)

        def step() -> list[Ran]:
            with self._processes.within("worker"):
                return messages.step()

        self._steps.append(step)
