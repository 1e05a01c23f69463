"""The scheduler role: the leader of the fleet enqueues the jobs of schedules."""

from __future__ import annotations

from rolehost.delivery.ticks import Ticker
from rolehost.roles.lifecycle import run_role
from rolehost.roles.loops import Loop
from rolehost.roles.process import Process


def run(process: Process) -> int:
    """Lead or wait to lead until TERM or INT; return the exit status."""
    return run_role(process, SchedulerRole)


class SchedulerRole(Loop):
    """Enqueues the jobs of due schedules while this process holds the leader's lease."""

    def __init__(self, process: Process) -> None:
        super().__init__("scheduler")
        self._lease = process.composition.deployment.host.scheduler.lease
        self._ticker = Ticker(
            process.services.delivery,
            [owned.value for owned in process.composition.schedules],
            process.identity.id,
            self._lease,
        )
        self._beats = process.beats

    def report_progress(self) -> None:
        """Do nothing, because each step sends a heartbeat."""

    def step(self) -> None:
        """Tick if this process leads; then wait for the next tick, renewal or beat."""
        self._beats.beat("the schedules")
        wait = self._ticker.step() if self._ticker.lead() else self._lease
        # The leader renews three times within its lease; the others try as often to lead.
        self.stopping.wait(min(wait, self._lease / 3, self._beats.every))
