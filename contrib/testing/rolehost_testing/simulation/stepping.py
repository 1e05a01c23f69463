"""One run: at every step, the seed decides which process continues and which faults occur."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rolehost.errors import StorageUnavailable
from rolehost.failpoints import Crash

from rolehost_testing.simulation import contract
from rolehost_testing.simulation.chaos import Chaos
from rolehost_testing.simulation.client import Client
from rolehost_testing.simulation.clock import SimulatedClock
from rolehost_testing.simulation.fibers import Fiber, Fibers
from rolehost_testing.simulation.processes import SimulatedProcess
from rolehost_testing.simulation.trace import Trace
from rolehost_testing.simulation.world import SimulatedWorld

if TYPE_CHECKING:
    from rolehost_testing.simulation.simulation import Action, Place, Simulation

#: Maximum duration of a step, in milliseconds of simulated time.
_STEP = 20
#: Maximum number of rounds after the steps until no work must be left.
_ROUNDS = 4000
#: Jobs due later than this many seconds of simulated time are not awaited.
_HORIZON = 3_000_000
#: Maximum number of times that the clock moves to the next delayed job.
_LEAPS = 200
#: Factor on the probability of a switch while a write transaction is open.
_IN_TRANSACTION = 0.25
#: Rounds, each of half a lease, within which a job must be claimed if nothing else happens. A sweep
#: that corrects counts may be late by a lease and a step of the clock.
_PATIENT_ROUNDS = 8
#: Half leases within which a process leads the sweep, also after the clock was set back.
_SWEEPS = 10
#: Activities with which a process maintains leases.
_UPKEEP = ("renew", "sweep")
#: A job that is still retried after ``_ATTEMPTS`` attempts is a violation if its actor allows
#: more than ``_PATIENCE``.
_ATTEMPTS, _PATIENCE = 20, 100


class Violation(Exception):
    """An invariant does not hold."""


class Stepping:
    """One run of a simulation with one seed.

    Attributes:
        seed: determines the whole run.
        clock: simulated time.
        world: the simulated world.
        processes: the living processes, in the order of their starts.
        trace: the trace of the run.
        calm: whether the steps are over; no more faults occur then.
    """

    def __init__(self, simulation: Simulation, seed: int, fibers: Fibers) -> None:
        self.simulation = simulation
        self.seed = seed
        self.fibers = fibers
        self.clock = SimulatedClock()
        self.chance = random.Random(seed)
        self.world = SimulatedWorld(self.clock, fibers, self.chance, simulation.database)
        self.trace = Trace()
        self.step = 0
        self.processes: list[SimulatedProcess] = []
        self.threads = simulation.threads
        self.replaced: Mapping[type[Any], Callable[[], Any]] = {
            kind: partial(make, self.world) for kind, make in simulation.services.items()
        }
        self.chaos = Chaos(self, simulation.faults)
        self.calm = False
        self._hurried = False
        self._acted = 0
        self._waits: dict[int, int] = {}
        self._commits = 0
        self._waiting: dict[str, tuple[int, Place, int]] = {}

    # Called in fibers.

    def passed(self, fiber: Fiber, point: str) -> bool:
        """Decide at a point whether the process dies there, or other fibers run first."""
        process = fiber.process
        if process.dead:
            raise Crash(point)
        if self.calm or self._hurried:
            return False
        if self.chance.random() < self.simulation.faults.crash:
            self.note(process.name, f"crash at {point}")
            self._lose(process)
            raise Crash(point)
        # During a write transaction most other fibers can only wait, which tests nothing new.
        often = _IN_TRANSACTION if self.world.database.store.writing.locked() else 1.0
        return self.chance.random() < self.simulation.faults.switch * often

    def sleep(self, seconds: float) -> None:
        """Wait in simulated time in a fiber; outside of fibers, advance the time."""
        if Fibers.current() is None:
            self.clock.forward(int(seconds * 1000))
            return
        until = self.clock.elapsed + seconds * 1000
        self.fibers.sleep("sleep", lambda: self.clock.elapsed >= until)

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.add(self.step, self.clock.passed, who, what)

    def log_event(self, fields: MutableMapping[str, Any]) -> None:
        """Add a log line to the trace."""
        fiber = Fibers.current()
        who = fiber.process.name if fiber else "simulation"
        event = fields.pop("event", "")
        rest = " ".join(f"{k}={v}" for k, v in fields.items() if k != "exc_info")
        self.trace.add(self.step, self.clock.passed, who, f"{event}  {rest}", is_log=True)

    # Processes.

    def start(self, place: Place, incarnation: int = 1) -> SimulatedProcess:
        """Start a process; it takes work as soon as the simulation schedules it."""
        process = SimulatedProcess(
            self, place.composition, place.role, place.slot, incarnation, prefix=place.prefix
        )
        process.provide()
        self.processes.append(process)
        self.note(process.name, "starts")
        return process

    def _lose(self, process: SimulatedProcess) -> None:
        """Mark a process as dead; its other threads end after the current fiber."""
        process.dead = True
        self.processes.remove(process)
        for place in self.simulation.places:
            if f"{place.prefix}{place.role}.{place.slot}" == process.place:
                wait = self.clock.elapsed + self.chance.randint(0, 40_000)
                self._waiting[process.place] = (wait, place, process.incarnation + 1)

    def end_threads(self, process: SimulatedProcess) -> None:
        """End the threads of a dead process; their open transactions are rolled back."""
        for fiber in process.fibers:
            if not fiber.dead:
                with suppress(BaseException):
                    fiber.throw(Crash("the process died"))
        process.fibers.clear()

    def _restart(self) -> None:
        now = self.clock.elapsed
        for name in list(self._waiting):
            at, place, incarnation = self._waiting[name]
            if self.calm or now >= at:
                del self._waiting[name]
                self.start(place, incarnation)

    # Steps.

    def run(self, steps: int) -> None:
        """Run the given number of steps; then run without faults until no work is left.

        Raises:
            Violation: an invariant does not hold.
        """
        for place in self.simulation.places:
            self.start(place)
        for _ in range(steps):
            self.step += 1
            self._advance()
        self.calm = self.world.calm = True
        self.note("simulation", "nothing goes wrong any more")
        self._settle()

    def _advance(self) -> None:
        chance = self.chance
        self.clock.forward(chance.randint(0, _STEP))
        if self._waiting:
            self._restart()
        self.chaos.strike()
        if self.simulation.actions and chance.random() < self.simulation.act:
            self._act()
            return
        live = [each for each in self.processes if not each.frozen]
        chance.shuffle(live)
        for process in live:
            if self._go_on(process):
                return

    def _act(self) -> None:
        places = [each for each in self.processes if each.role == self.simulation.asked]
        places = [each for each in places if not each.frozen]
        if not places:
            return
        action: Action = self.chance.choice(self.simulation.actions)
        process = self.chance.choice(places)
        self._acted += 1
        client = Client(
            self.world,
            process,
            random.Random(f"{self.seed} action {self._acted}"),
            self._acted,
            self.simulation.door(process.composition),
        )
        label = f"{action.__name__} {self._acted}"

        def work() -> None:
            with process.services.database.session():
                action(client)

        self._begin(process, label, work)

    def _go_on(self, process: SimulatedProcess) -> bool:
        """Continue or start one thread of a process; return whether one was able to run."""
        running = [fiber for fiber in process.fibers if fiber.runnable]
        offers = process.activities()
        count = len(running) + len(offers)
        if not count:
            return False
        index = self.chance.randrange(count)
        if index < len(running):
            self._resume(running[index])
        else:
            activity = offers[index - len(running)]
            self._begin(process, activity.label, activity.work)
        return True

    def _begin(self, process: SimulatedProcess, label: str, work: Callable[[], object]) -> None:
        fiber = self.fibers.begin(process, label, work)
        process.fibers.append(fiber)
        process.busy.add(label)
        self._resume(fiber)

    def _resume(self, fiber: Fiber) -> None:
        process, label, since = fiber.process, fiber.label, fiber.point
        try:
            fiber.switch()
        except Crash:
            if not process.dead:  # plugin code raised Crash itself
                self.note(process.name, f"crash in {label}")
                self._lose(process)
        except StorageUnavailable as error:
            self.note(process.name, f"{label}: {type(error).__name__}")
        except Exception as error:
            self.note(process.name, f"{label} raised {type(error).__name__}")
            raise Violation(f"{label}: {type(error).__name__}: {error}") from error
        point = "" if since == "begin" else f" from {since}"
        if process.dead:
            self.end_threads(process)
        elif fiber.dead:
            process.fibers.remove(fiber)
            process.busy.discard(label)
            self.note(process.name, f"{label}{point}: done")
        else:
            self.note(process.name, f"{label}{point}: up to {fiber.point}")
        self._check()

    def _check(self) -> None:
        commits = self.world.database.store.commits
        if commits != self._commits:
            self._commits = commits
            found = contract.violated(self.world, self.simulation.contract)
            if found is not None:
                raise Violation(found)
        for invariant in self.simulation.invariants:
            _hold(invariant, self.world)

    # Settling.

    def _settle(self) -> None:
        """Run without faults until nothing is left to do, then check the final state.

        Raises:
            Violation: the run does not end, or an invariant of the final state is violated.
        """
        for process in self.processes:
            process.frozen = False
        end = self.clock.now() + _HORIZON * 1000
        leaps = 0
        for _ in range(_ROUNDS):
            self._restart()
            if self._round():
                continue
            if self._pending():
                self._check_waiting()
                self.pass_time(self.simulation.lease / 2)
                continue
            self._check_attempts()
            due = self._next_due()
            if due is None or due > end or leaps >= _LEAPS:
                break
            leaps += 1
            self.clock.forward(max(1, due - self.clock.now()))
            self.pass_time(0.001)
        else:
            raise Violation("it does not settle: " + "; ".join(self._pending()[:5]))
        # Claims of processes that did not know a limit yet are counted by the next sweep.
        for _ in range(_SWEEPS):
            if not self.world.rows("SELECT 1 FROM rolehost_limits WHERE held <> 0"):
                break
            self.pass_time(self.simulation.lease / 2)
        self._judge()

    def _next_due(self) -> int | None:
        rows = self.world.rows(
            "SELECT min(run_at) FROM (SELECT run_at FROM rolehost_jobs"
            " WHERE state IN ('scheduled', 'retrying')"
            " UNION ALL SELECT run_at FROM rolehost_parked_keys)"
        )
        due: int | None = rows[0][0]
        return due

    def _round(self) -> bool:
        """Run all possible work of every process; return whether there was any."""
        done = False
        for process in list(self.processes):
            for fiber in list(process.fibers):
                if fiber.runnable and not fiber.dead:
                    self.step += 1
                    self.clock.forward(1)
                    self._resume(fiber)
                    done = True
            for activity in process.activities():
                if not process.dead and activity.label not in process.busy:
                    self.step += 1
                    self.clock.forward(1)
                    self._begin(process, activity.label, activity.work)
                    done = True
        return done

    def pass_time(self, seconds: float) -> None:
        """Advance the time while processes that are not frozen renew their leases."""
        # The longest safe interval: a lease is renewed three times before it expires.
        hop = self.simulation.lease / 3
        while seconds > 0:
            self.clock.forward(int(min(hop, seconds) * 1000))
            seconds -= hop
            self._hurried = True
            try:
                self._unlock()
                for process in list(self.processes):
                    if not process.frozen:
                        self._keep_up(process)
            finally:
                self._hurried = False

    def _unlock(self) -> None:
        """Finish the open transaction, because real transactions do not last for seconds."""
        writing = self.world.database.store.writing
        peewee = self.world.database.peewee
        for process in list(self.processes):
            for fiber in list(process.fibers):
                strand = fiber.strands.get(peewee)
                if writing.locked() and strand is not None and strand.writing:
                    while writing.locked() and not fiber.dead and fiber.runnable:
                        self._resume(fiber)

    def _keep_up(self, process: SimulatedProcess) -> None:
        for fiber in list(process.fibers):
            if fiber.label in _UPKEEP and fiber.runnable:
                self._resume(fiber)
        for _ in _UPKEEP:
            for activity in process.activities():
                if activity.label in _UPKEEP and not process.dead:
                    self._begin(process, activity.label, activity.work)

    def _pending(self) -> list[str]:
        """Return unfinished work that does not wait for a due time."""
        rows = self.world.rows
        found = [
            f"job {number} of {actor} is {state}"
            for number, actor, state in rows(
                "SELECT id, actor, state FROM rolehost_jobs"
                " WHERE state IN ('available', 'claimed', 'running')"
            )
        ]
        found += [
            f"a change of partition {number} waits"
            for (number,) in rows("SELECT partition_id FROM rolehost_partition_changes")
        ]
        found += [f"event {number} waits" for (number,) in rows("SELECT id FROM rolehost_outbox")]
        found += [
            f"parked events of {group} wait in lane {number}"
            for number, group in rows(
                "SELECT id, consumer_group FROM rolehost_parked_keys"
                " WHERE owner IS NOT NULL OR run_at <= ?",
                (self.clock.now(),),
            )
        ]
        found += [
            f"{fiber.process.name} is in {fiber.label} at {fiber.point}"
            for process in self.processes
            for fiber in process.fibers
        ]
        found += [
            f"group {group} has not read {lag} records"
            for group, topics in self.simulation.topics.items()
            if (lag := self.world.topics.lag(topics, group))
        ]
        return found

    def _check_waiting(self) -> None:
        """Detect jobs that are not claimed although their limits have had room for a long time."""
        if any(process.fibers for process in self.processes):
            return  # a thread sleeps, so others may wait for it
        waiting = self.simulation.contract.places.waiting_with_room(self.world)
        self._waits = {job: self._waits.get(job, 0) + 1 for job in sorted(waiting)}
        for job, rounds in self._waits.items():
            if rounds > _PATIENT_ROUNDS:
                raise Violation(f"nothing lost: job {job} waits, though its limits have room")

    def _check_attempts(self) -> None:
        """Detect jobs that are retried without a useful limit."""
        for number, name, attempts in self.world.rows(
            "SELECT id, actor, attempt FROM rolehost_jobs WHERE state = 'retrying'"
            " AND attempt >= ?",
            (_ATTEMPTS,),
        ):
            if self.simulation.attempts(name) > _PATIENCE:
                raise Violation(f"job {number} of {name} was tried {attempts} times, for ever")

    def _judge(self) -> None:
        for text in contract.unsettled(
            self.world, self.simulation.contract, self.simulation.groups
        ):
            raise Violation(text)
        for invariant in self.simulation.eventually:
            _hold(invariant, self.world)

    def end(self) -> None:
        """End every thread and close the world."""
        for process in [*self.processes]:
            process.dead = True
            self.end_threads(process)
        self.world.close()


def _hold(invariant: Callable[[SimulatedWorld], object], world: SimulatedWorld) -> None:
    """Call an invariant.

    Raises:
        Violation: it returned False or a text, or raised an AssertionError.
    """
    try:
        found = invariant(world)
    except AssertionError as error:
        text = str(error).strip() or "an assertion failed"
        raise Violation(f"{invariant.__name__}: {text}") from error
    if found is False or isinstance(found, str):
        raise Violation(f"{invariant.__name__}: {found or 'does not hold'}")
