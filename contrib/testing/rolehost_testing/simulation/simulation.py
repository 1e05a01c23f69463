"""A simulation: its deployments, actions and invariants, to be run with any seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from unittest import mock

from rolehost import failpoints
from rolehost.api.actors import Actor
from rolehost.api.contributions import Role
from rolehost.composition import compose
from rolehost.composition.model import Composition
from rolehost.delivery import arguments
from rolehost.delivery.arguments import Signature
from rolehost.schema import HOST_SET

from rolehost_testing.memory import MemoryPlugin
from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.memory.store import Store
from rolehost_testing.memory.template import bring_up
from rolehost_testing.simulation import contract
from rolehost_testing.simulation.client import Client, Door
from rolehost_testing.simulation.contract import Contract
from rolehost_testing.simulation.determinism import determined
from rolehost_testing.simulation.faults import Faults
from rolehost_testing.simulation.fibers import Fibers
from rolehost_testing.simulation.plugins import deployments_of
from rolehost_testing.simulation.slate import Slate
from rolehost_testing.simulation.stepping import Stepping, Violation
from rolehost_testing.simulation.trace import Trace
from rolehost_testing.simulation.world import SimulatedWorld

#: Default number of steps of a run.
STEPS = 200
#: Default number of processes of each role.
REPLICAS: Mapping[str, int] = {
    "http": 2, "worker": 2, "consumer": 2, "scheduler": 2, "command": 1,
}  # fmt: skip

Invariant = Callable[[SimulatedWorld], object]


class Action(Protocol):
    """An action of an external client, for example a request: a function that takes one client."""

    __name__: str

    def __call__(self, client: Client, /) -> object:
        """Run the action."""


class Place(NamedTuple):
    """A slot for a process, and for its replacement after a crash."""

    composition: Composition
    role: Role | str
    slot: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run.

    Attributes:
        seed: its seed.
        steps: the requested number of steps.
        trace: the trace of the run.
        violation: the violated invariant, or None.
        world: the world at the end; its storage is closed.
    """

    seed: int
    steps: int
    trace: Trace
    violation: str | None
    world: SimulatedWorld

    @property
    def digest(self) -> str:
        """A hash of the trace, which is the same for every run with this seed and these steps."""
        return self.trace.digest


class Simulation:
    """Deployments in one process and in simulated time; created once, run with many seeds.

    Args:
        plugins: deployments, or the plugins of a single deployment: modules, objects with hooks,
            or names of installed plugins.
        actions: actions of external clients, run in any order and any number of times.
        invariants: called with the world after every step. An invariant is violated if it
            returns False or a text, or fails an assertion. It sees only committed data.
        eventually: invariants that are called once, at the end, after all processes have run
            without faults until no work was left.
        settings: sections of settings by name, of plugins and of the host.
        extra: plugin objects by name, in addition to the installed plugins.
        services: type of a service → function that makes the service from the world. It replaces
            the service that a plugin registers, for example an HTTP client of an external system.
        replicas: number of processes of each role.
        threads: number of concurrent jobs of a worker and events of a consumer.
        faults: probabilities of faults.
        act: probability that a step runs an action.
        grouped: whether jobs of all durable actors, and events of all handlers without batches,
            share transactions.
    """

    def __init__(
        self,
        plugins: Sequence[Any],
        *,
        actions: Sequence[Action] = (),
        invariants: Sequence[Invariant] = (),
        eventually: Sequence[Invariant] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        extra: Mapping[str, Any] | None = None,
        services: Mapping[type[Any], Callable[[SimulatedWorld], Any]] | None = None,
        replicas: Mapping[str, int] | None = None,
        threads: int = 2,
        faults: Faults | None = None,
        act: float = 0.1,
        grouped: bool = False,
    ) -> None:
        self.actions = tuple(actions)
        self.invariants = tuple(invariants)
        self.eventually = tuple(eventually)
        self.services = dict(services or {})
        self.threads = threads
        self.faults = faults or Faults()
        self.act = act
        self.contract = Contract(grouped=grouped)
        self.fibers = Fibers()
        self._running: Stepping | None = None
        self.database = MemoryDatabase(Store(), self.fibers)
        self._slate: Slate | None = None
        self._signatures: dict[int, Signature] = {}
        self._doors: dict[int, Door] = {}
        plugin = MemoryPlugin(lambda: self._world)
        deployments, given = deployments_of(plugins, settings or {}, extra or {}, plugin)
        self.compositions = [
            self.contract.watch(compose(each, extra=given)) for each in deployments
        ]
        self.places = self._places({**REPLICAS, **(replicas or {})})

    @property
    def _world(self) -> SimulatedWorld:
        assert self._running is not None  # only processes of a run make backends
        return self._running.world

    def _places(self, replicas: Mapping[str, int]) -> list[Place]:
        several = len(self.compositions) > 1
        places = []
        for composition in self.compositions:
            run = composition.deployment.host.fleet.roles
            roles: list[Any] = [each for each in composition.roles if run is None or each in run]
            if not any(each.routes for each in self.compositions):
                roles.append("command")
            prefix = f"{composition.deployment.name}:" if several else ""
            places += [
                Place(composition, role, slot, prefix)
                for role in roles
                for slot in range(replicas[role])
            ]
        return places

    @cached_property
    def asked(self) -> str:
        """The role of the processes that actions call."""
        return "http" if any(each.routes for each in self.compositions) else "command"

    @cached_property
    def groups(self) -> dict[str, set[str]]:
        """The consumer groups of each topic."""
        found: dict[str, set[str]] = {}
        for composition in self.compositions:
            for owned in composition.handlers:
                found.setdefault(owned.value.topic, set()).add(owned.value.group)
        return found

    @cached_property
    def topics(self) -> dict[str, list[str]]:
        """The topics of each consumer group."""
        found: dict[str, list[str]] = {}
        for topic, groups in sorted(self.groups.items()):
            for group in sorted(groups):
                found.setdefault(group, []).append(topic)
        return found

    def attempts(self, actor: str) -> int:
        """Return the maximum number of attempts of an actor's jobs."""
        policies = [
            each.actors[actor].value.retry for each in self.compositions if actor in each.actors
        ]
        return max((policy.attempts for policy in policies), default=0)

    @property
    def lease(self) -> float:
        """Duration of a lease in seconds; a process must renew its leases before that."""
        return self.compositions[0].deployment.host.delivery.lease

    def door(self, composition: Composition) -> Door | None:
        """Return the HTTP application of a composition, or None if it has no routes."""
        if not composition.routes:
            return None
        found = self._doors.get(id(composition))
        if found is None:
            found = self._doors[id(composition)] = Door(composition, self.fibers)
        return found

    def run(self, seed: int, steps: int = STEPS) -> Run:
        """Run once; the same seed and steps always give the same run.

        Args:
            seed: determines the whole run.
            steps: number of random steps; after them, the remaining work runs without faults.
        """
        self.contract.clear()
        stepping = self._running = Stepping(self, seed, self.fibers)
        self.fibers.enter(stepping.passed)
        violation = None
        with determined(stepping.clock, stepping.chance, stepping.sleep, stepping.log_event):
            # PERF: otherwise each process evaluates the type hints of actors again.
            with self._armed(), mock.patch.object(arguments, "Signature", self._signature):
                try:
                    self._prepare()
                    stepping.run(steps)
                except Violation as found:
                    violation = str(found)
                    stepping.note("simulation", f"violated: {violation}")
                finally:
                    stepping.end()
        return Run(seed, steps, stepping.trace, violation, stepping.world)

    def close(self) -> None:
        """Release the resources that the runs share. Idempotent."""
        while self._doors:
            self._doors.popitem()[1].close()
        self.database.store.remove()

    def _prepare(self) -> None:
        """Bring the database to the initial state of every run."""
        if self._slate is not None:
            self._slate.wipe()
            return
        contract.register(self.database, lambda: self._world.clock)
        sets = dict.fromkeys(
            each for composition in self.compositions for each in composition.schema_sets
        )
        bring_up(self.database, (HOST_SET, *sets))
        contract.install(self.database)
        self._slate = Slate(self.database)

    def _signature(self, actor: Actor) -> Signature:
        """Return the cached signature of an actor, which all processes share."""
        found = self._signatures.get(id(actor))
        if found is None:
            found = self._signatures[id(actor)] = Signature(actor)
        return found

    @contextlib.contextmanager
    def _armed(self) -> Iterator[None]:
        """Make every failpoint of the host a point for switches and crashes."""
        before = failpoints.armed
        waits = failpoints.Armed(self.fibers.reach, 1.0)
        failpoints.armed = dict.fromkeys(failpoints.NAMES, (waits,))
        try:
            yield
        finally:
            failpoints.armed = before
