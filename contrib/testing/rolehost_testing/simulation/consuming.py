"""A consumer group whose lanes are fibers, and which waits in simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from rolehost.roles.consumer.group import RELEASE, Group
from rolehost.roles.consumer.stints import Stint, Stints
from rolehost.storage import Partition

from rolehost_testing.simulation.fibers import FiberLocal, FiberLock

if TYPE_CHECKING:
    from rolehost_testing.simulation.processes import SimulatedProcess

Work = Callable[[], None]


class SimulatedLanes:
    """Work in lanes, taken piece by piece; stands for :class:`~.roles.consumer.lanes.Lanes`."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[Work]] = {}
        self.ready: deque[tuple[Hashable, Work]] = deque()

    def submit(self, items: Iterable[tuple[Hashable, Work]]) -> None:
        """Have each work done after everything submitted to its lane before."""
        for lane, work in items:
            if lane is None:
                self.ready.append((None, work))
            elif lane in self._lanes:
                self._lanes[lane].append(work)
            else:
                self._lanes[lane] = deque()
                self.ready.append((lane, work))

    def work(self) -> None:
        """Do the next work whose turn it is."""
        lane, work = self.ready.popleft()
        work()
        if lane is None:
            return
        waiting = self._lanes[lane]
        if waiting:
            self.ready.append((lane, waiting.popleft()))
        else:
            del self._lanes[lane]


class SimulatedStints(Stints):
    """Stints whose release is awaited in simulated time."""

    def __init__(self, process: SimulatedProcess) -> None:
        super().__init__(process.run.fibers.number)
        self._process = process

    def _await(self, true: Callable[[], bool], wanted: Callable[[], int], timeout: float) -> bool:
        del wanted
        run = self._process.run
        deadline = run.clock.now() + timeout * 1000
        run.fibers.sleep("partition.release", lambda: true() or run.clock.now() >= deadline)
        return true()


class SimulatedGroup(Group):
    """One consumer group in one simulated process; its parts are called one by one."""

    def __init__(self, process: SimulatedProcess, group: str, handlers: Any) -> None:
        services, self._process = process.services, process
        super().__init__(
            services.delivery,
            services,
            services.stream,
            group,
            handlers,
            process.lanes,  # type: ignore[arg-type]
            process.composition.deployment.host.consumer.in_flight,
            services.queue.listen([f"replay:{group}"]) if "queue" in services.backends else None,
        )
        self._stints = SimulatedStints(process)
        self._current = FiberLocal(process.run.fibers)  # type: ignore[assignment]
        for handling in self._handling.values():
            handling._quarantine = FiberLock(process.run.fibers)  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """Name of the group."""
        return self._group

    def poll(self) -> None:
        """Take records and give them to the lanes."""
        room = self._most - self._stints.flying()
        if room > 0:
            deliveries = self._subscription.poll(0.0, room)
            if deliveries:
                self._lanes.submit(self._work(self._stints.take(deliveries)))
        else:
            self._stay()

    def commit(self) -> None:
        """Commit the offsets of what is finished."""
        self._commit()

    @property
    def waiting(self) -> bool:
        """Whether a poll would bring something: records, or partitions that move."""
        subscription: Any = self._subscription
        return bool(subscription._something())

    @property
    def dirty(self) -> bool:
        """Whether there are offsets to commit."""
        return bool(self._stints.committable())

    def replay(self) -> None:
        """Handle again what operators marked so."""
        self._replay(self._process.run.clock.now() / 1000)

    def _stay(self) -> None:
        """Nothing: a simulated member that takes nothing polls no less often."""

    def _wait(self, seconds: float) -> bool:
        stint: Stint | None = getattr(self._current, "stint", None)
        run = self._process.run
        until = run.clock.now() + seconds * 1000

        def over() -> bool:
            return run.clock.now() >= until or (stint is not None and stint.gone.is_set())

        run.fibers.sleep("handler.retry", over)
        return stint is not None and stint.gone.is_set()

    def _revoked(self, partitions: Collection[Partition]) -> None:
        try:
            self._stints.release(partitions, RELEASE)
            self._commit()
        finally:
            self._stints.forget(partitions)
