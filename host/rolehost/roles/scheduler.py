"""The scheduler role: the leader of the fleet enqueues the jobs of schedules."""

from __future__ import annotations

import time

from rolehost.delivery.ticks import Ticker
from rolehost.roles.lifecycle import run_role
from rolehost.roles.loops import Loop
from rolehost.roles.process import Process


def run(process: Process) -> int:
    """Lead or wait to lead until TERM or INT; return the exit status."""
    return run_role(process, SchedulerRole)


#: Maximum seconds until the leader follows a change that was made at run time.
_CHANGES_SECONDS = 1.0


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
        self._leads = False
        self._lead_at = 0.0  # when to renew the lease or to try to lead, monotonic seconds

    def report_progress(self) -> None:
        """Do nothing, because each step sends a heartbeat."""

    def step(self) -> None:
        """Tick if this process leads; then wait for the next tick, renewal, change or beat."""
        self._beats.beat("the schedules")
        # The leader renews three times within its lease; the others try as often to lead.
        if time.monotonic() >= self._lead_at:
            # If the lease cannot be asked for, this process does not lead, and asks again soon.
            self._leads = False
            self._leads = self._ticker.lead()
            self._lead_at = time.monotonic() + self._lease / 3
        wait = min(self._ticker.step(), _CHANGES_SECONDS) if self._leads else self._lease
        until_lead = max(self._lead_at - time.monotonic(), 0)
        self.stopping.wait(min(wait, until_lead, self._beats.every))
