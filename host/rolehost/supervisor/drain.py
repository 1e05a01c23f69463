"""Graceful shutdown: one role after the other, each within its grace period."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from rolehost.supervisor.child import Slot
from rolehost.supervisor.plan import DRAIN_ORDER

#: Seconds that a process may take to close after the grace of its role; then it is killed.
MARGIN = 5.0


class Drain:
    """Stops all processes within ``grace`` seconds.

    Call :meth:`act` at ``deadline`` (monotonic seconds), and after each death of a process.
    """

    def __init__(
        self, slots: Sequence[Slot], grace: float, report: Callable[..., None], level: str
    ) -> None:
        self._slots = slots
        self._report = report
        self._level = level
        self._end = time.monotonic() + grace
        self._waiting = list(DRAIN_ORDER)
        self._current: list[Slot] = []
        self.deadline = self._end

    def act(self, now: float) -> None:
        """When the current role has ended, drain the next; at its deadline, kill the rest first."""
        if any(slot.pid for slot in self._current):
            if now < self.deadline:
                return
            self._kill(self._current)
        while self._waiting:
            role = self._waiting.pop(0)
            self._current = [slot for slot in self._slots if slot.role.role == role and slot.pid]
            if self._current:
                self._report(self._level, f"draining {role}", processes=len(self._current))
                self.deadline = min(self._end, now + self._current[0].role.grace + MARGIN)
                for slot in self._current:
                    slot.send(signal.SIGTERM)
                return
        # All roles have ended or were killed. This only limits the wait for killed processes.
        self.deadline = self._end if now < self._end else now + MARGIN

    def kill_all(self) -> None:
        """Kill every remaining process."""
        self._waiting.clear()
        self._kill(self._slots)

    def _kill(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            if slot.pid:
                self._report("error", f"{slot.name} did not stop in time: killing it")
                slot.kill()
