"""Inject faults into processes and storage between two steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolehost_testing.simulation.faults import Faults

if TYPE_CHECKING:
    from rolehost_testing.simulation.processes import SimulatedProcess
    from rolehost_testing.simulation.stepping import Stepping


class Chaos:
    """Injects faults with the given probabilities, using the random source of the run."""

    def __init__(self, run: Stepping, faults: Faults) -> None:
        self._run = run
        self._faults = faults
        self._thaw: dict[str, int] = {}
        run.world.topics.failing = self._failing
        run.world.topics.unsure = self._unsure
        self._blows = (
            (faults.freeze, self._freeze),
            (faults.flush, self._flush),
            (faults.duplicate, self._duplicate),
            (faults.rebalance, self._rebalance),
            (faults.elapse, self._elapse),
            (faults.jump, self._jump),
            (faults.set_back, self._set_back),
        )

    def strike(self) -> None:
        """Inject faults at random."""
        if self._thaw:
            self._thaw_some()
        for probability, blow in self._blows:
            if self._run.chance.random() < probability:
                blow()

    def _failing(self) -> bool:
        run = self._run
        return not run.calm and run.chance.random() < self._faults.failing

    def _unsure(self) -> bool:
        run = self._run
        return not run.calm and run.chance.random() < self._faults.unsure

    def _freeze(self) -> None:
        run = self._run
        # In SQLite, a process frozen within a transaction would block every writer.
        if run.world.database.store.writing.locked():
            return
        awake = [each for each in run.processes if not each.frozen]
        if len(awake) < 2:
            return
        process: SimulatedProcess = run.chance.choice(awake)
        process.frozen = True
        self._thaw[process.name] = run.step + run.chance.randint(5, 60)
        run.note("simulation", f"freezes {process.name}")
        if run.chance.random() < 0.7:
            # This is long enough for its leases to expire, so that other processes take them.
            run.pass_time(run.chance.uniform(1.0, 2.0) * run.simulation.lease)

    def _thaw_some(self) -> None:
        run = self._run
        for process in run.processes:
            if process.frozen and run.step >= self._thaw.get(process.name, 0):
                process.frozen = False
                self._thaw.pop(process.name, None)
                run.note("simulation", f"thaws {process.name}")

    def _flush(self) -> None:
        self._run.world.wakes.flush()
        self._run.note("simulation", "empties the queue")

    def _duplicate(self) -> None:
        run, topics = self._run, self._run.world.topics
        records = [
            kept.record
            for name in topics.names()
            for partition in topics.topic(name)
            for kept in partition
        ]
        if records:
            record = run.chance.choice(records)
            with topics.changed:
                topics.append([record])
            run.note("simulation", f"repeats a record of {record.topic}")

    def _rebalance(self) -> None:
        run = self._run
        for name, group in run.world.topics.groups().items():
            if group.members:
                number = run.chance.choice(sorted(group.members))
                del group.members[number]
                run.note("simulation", f"throws a member out of group {name}")

    def _elapse(self) -> None:
        run = self._run
        seconds = run.chance.uniform(0.5, 2.0 * run.simulation.lease)
        run.note("simulation", f"lets {seconds:.1f} s pass")
        run.pass_time(seconds)

    def _jump(self) -> None:
        run = self._run
        seconds = run.chance.uniform(0.5, self._faults.jump_longest)
        run.note("simulation", f"puts the clock {seconds:.1f} s ahead")
        run.clock.forward(int(seconds * 1000))

    def _set_back(self) -> None:
        run = self._run
        seconds = run.chance.uniform(0.5, self._faults.jump_longest)
        run.note("simulation", f"sets the clock back by {seconds:.1f} s")
        run.clock.set_back(int(seconds * 1000))
