"""Stopping in order: one kind of process after the other, each within its grace."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from rolehost.supervisor.child import Slot
from rolehost.supervisor.plan import DRAIN_ORDER

#: Seconds a process has beyond its own grace, to hand back and to close, before it is killed.
MARGIN = 5.0


class Drain:
    """The end of all processes.

    Args:
        slots: all slots.
        grace: seconds in which everything must have stopped.
        report: writes lines.
        level: level of the lines that tell of progress.

    Attributes:
        deadline: when :meth:`act` has to be called next, monotonic seconds.
    """

    def __init__(
        self, slots: Sequence[Slot], grace: float, report: Callable[..., None], level: str
    ) -> None:
        self._slots = slots
        self._report = report
        self._level = level
        self._end = time.monotonic() + grace
        self._left = [role for role in DRAIN_ORDER if any(s.role.role == role for s in slots)]
        self._current: list[Slot] = []
        self.deadline = self._end

    def act(self, now: float) -> None:
        """Go on: kill what is late, and tell the next kind when the last one has ended."""
        if any(slot.pid for slot in self._current):
            if now < self.deadline:
                return
            self._kill(self._current)
        while self._left:
            role = self._left.pop(0)
            self._current = [slot for slot in self._slots if slot.role.role == role and slot.pid]
            if self._current:
                self._tell(role, now)
                return
        # The last kind was told, and is late or gone: nothing but deaths is waited for.
        self.deadline = self._end if now < self._end else now + MARGIN

    def kill_all(self) -> None:
        """Kill every process that is left."""
        self._left.clear()
        self._kill(self._slots)

    def _tell(self, role: str, now: float) -> None:
        self._report(self._level, f"draining {role}", processes=len(self._current))
        self.deadline = min(self._end, now + self._current[0].role.grace + MARGIN)
        for slot in self._current:
            slot.send(signal.SIGTERM)

    def _kill(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            if slot.pid:
                self._report("error", f"{slot.name} did not stop in time: killing it")
                slot.kill()
