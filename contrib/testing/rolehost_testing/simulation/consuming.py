"""A consumer group with fibers as lanes, which waits in simulated time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from rolehost.roles.consumer.assignments import Assignment, Assignments
from rolehost.roles.consumer.group import REVOKE_TIMEOUT, ConsumerGroup
from rolehost.storage import Partition

from rolehost_testing.simulation.fibers import FiberLocal, FiberLock

if TYPE_CHECKING:
    from rolehost_testing.simulation.processes import SimulatedProcess

Work = Callable[[], None]


class SimulatedLanes:
    """Lanes whose work runs item by item; replaces :class:`~.roles.consumer.lanes.Lanes`."""

    def __init__(self, threads: int) -> None:
        self.retries = threading.Semaphore(threads)
        self.coroutines = None
        self._lanes: dict[Hashable, deque[Work]] = {}
        self.ready: deque[tuple[Hashable, Work]] = deque()

    def submit(self, items: Iterable[tuple[Hashable, Work]]) -> None:
        """Queue work items; each runs after all earlier items of its lane."""
        for lane, work in items:
            if lane is None:
                self.ready.append((None, work))
            elif lane in self._lanes:
                self._lanes[lane].append(work)
            else:
                self._lanes[lane] = deque()
                self.ready.append((lane, work))

    def work(self) -> None:
        """Run the next work item that is ready."""
        lane, work = self.ready.popleft()
        work()
        if lane is None:
            return
        waiting = self._lanes[lane]
        if waiting:
            self.ready.append((lane, waiting.popleft()))
        else:
            del self._lanes[lane]


class SimulatedAssignments(Assignments):
    """Assignments whose revocation waits in simulated time."""

    def __init__(self, process: SimulatedProcess) -> None:
        super().__init__()
        self._process = process

    def _wait(self, true: Callable[[], bool], wake_at: int, timeout: float) -> bool:
        del wake_at
        run = self._process.run
        deadline = run.clock.now() + timeout * 1000
        run.fibers.sleep("partition.release", lambda: true() or run.clock.now() >= deadline)
        return true()


class SimulatedGroup(ConsumerGroup):
    """One consumer group in one simulated process, which calls its steps one by one."""

    def __init__(self, process: SimulatedProcess, group: str, handlers: Any) -> None:
        self._process = process
        lanes: Any = process.lanes
        super().__init__(process, group, handlers, lanes)
        self._assignments = SimulatedAssignments(process)
        self._current = FiberLocal(process.run.fibers)  # type: ignore[assignment]
        for handling in self._handling.values():
            handling._quarantine = FiberLock(process.run.fibers)  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """Name of the group."""
        return self._group

    def poll(self) -> None:
        """Poll records and submit them to the lanes."""
        room = self._most - self._assignments.in_flight
        if room > 0:
            deliveries = self._subscription.poll(0.0, room)
            if deliveries:
                self._lanes.submit(self._work(self._assignments.take(deliveries)))
        else:
            self._stay_in_group()

    def commit(self) -> None:
        """Commit the offsets of finished records."""
        self._commit()

    @property
    def waiting(self) -> bool:
        """Whether a poll would return records or change partition assignments."""
        subscription: Any = self._subscription
        return bool(subscription._something())

    @property
    def dirty(self) -> bool:
        """Whether there are offsets to commit."""
        return bool(self._assignments.committable())

    @property
    def may_retry(self) -> bool:
        """Whether it is time to claim parked events."""
        return self._parked.patience(1.0) == 0.0

    def retry(self) -> None:
        """Claim parked events that are due and submit them to the lanes."""
        self._parked.step(self._handling)

    def replay(self) -> None:
        """Replay the dead letters that an operator marked."""
        self._replay(self._process.run.clock.now() / 1000)

    def _stay_in_group(self) -> None:
        """Do nothing: a simulated member polls often enough even without free lanes."""

    def _wait(self, seconds: float) -> bool:
        assignment: Assignment | None = getattr(self._current, "assignment", None)
        run = self._process.run
        until = run.clock.now() + seconds * 1000

        def over() -> bool:
            return run.clock.now() >= until or (
                assignment is not None and assignment.revoked.is_set()
            )

        run.fibers.sleep("handler.retry", over)
        return assignment is not None and assignment.revoked.is_set()

    def _on_revoked(self, partitions: Collection[Partition]) -> None:
        try:
            self._assignments.revoke(partitions, REVOKE_TIMEOUT)
            self._commit()
        finally:
            self._assignments.remove(partitions)
