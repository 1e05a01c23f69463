"""The watchdog: finds running processes that make no progress.

A process is *hung* if one of its parts made no progress for ``[supervisor] hang`` seconds. The
supervisor logs the stacks of all threads of a hung process, shows the process to the others
(:class:`Board`), sends it TERM, and kills it after the grace of its role.

gunicorn's master itself ends its hung worker processes. The master reports them with the lines
``hung`` and ``lost`` on its status pipe; the supervisor logs and counts them here.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rolehost.observe.board import Board, Hang, SupervisorState
from rolehost.observe.progress import RunningClock
from rolehost.roles.beats import DUMP_PREFIXES, DUMP_SIGNAL, LONGEST_INTERVAL, interval
from rolehost.supervisor.child import Phase, Slot
from rolehost.supervisor.drain import MARGIN

#: Seconds in which a hung process must write the stacks of its threads.
STACK_SECONDS = 0.5

#: The most lines of stacks that are logged.
MAX_STACK_LINES = 200

#: Process states in ``/proc/PID/stat``.
STATES = {"T": "stopped", "t": "traced", "D": "waiting for a device", "R": "running", "S": "asleep"}


@dataclass(eq=False)
class HungProcess:
    """A hung process that has not been replaced yet."""

    hang: Hang
    #: The slot of the process; for a worker process of http, the slot of its master.
    slot: Slot
    #: When the next step is due, monotonic seconds; None: the next event is its death.
    due: float | None
    stacks: list[str] = field(default_factory=list)
    logged: bool = False

    @property
    def is_slot_process(self) -> bool:
        """Whether it is the slot's own process, which the supervisor ends itself."""
        return self.hang.process == self.slot.name


class HangMonitor:
    """Finds the processes that hang, ends them, and counts the replaced processes."""

    def __init__(self, board: Board, report: Callable[..., None]) -> None:
        self._board = board
        self._report = report
        self._clock = RunningClock(LONGEST_INTERVAL)
        self._hung: dict[str, HungProcess] = {}
        self._restarts: dict[str, dict[str, int]] = {}

    def due(self, slots: Iterable[Slot], now: float) -> list[float]:
        """Return when to call :meth:`check`, monotonic seconds; empty if the watchdog is off."""
        intervals = [interval(slot.plan.hang) for slot in slots if slot.plan.hang]
        if not intervals:
            return []
        self._clock.longest = min(intervals)
        return [now + min(intervals), *(each.due for each in self._hung.values() if each.due)]

    def read_lines(self, slot: Slot, lines: Iterable[str]) -> None:
        """Handle the lines of a status pipe that are about progress.

        These are ``beat PART``, ``draining`` and the stacks of threads; from gunicorn's master also
        ``hung PID SECONDS`` and ``lost REASON PID``.
        """
        at = self._clock.advance(time.monotonic())
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "beat":
                slot.watch.beat(rest, at)
            elif word == "draining":
                slot.watch.clear()
            elif word == "hung":
                pid, _, silent = rest.partition(" ")
                self._add(f"http {pid}", slot, int(pid), "event loop", float(silent))
            elif word == "lost":
                reason, _, pid = rest.partition(" ")
                self.count(slot, reason)
                if lost := self._hung.get(f"http {pid}"):
                    self._log(lost)
                    self._remove(lost)
            elif line.startswith(DUMP_PREFIXES):
                for hung in self._hung.values():
                    if hung.slot is slot and not hung.logged and len(hung.stacks) < MAX_STACK_LINES:
                        hung.stacks.append(line)

    def check(self, slots: Sequence[Slot], now: float) -> None:
        """Find hung processes, and do the next step for each."""
        at = self._clock.advance(now)
        for slot in slots:
            watched = slot.phase is Phase.RUNNING and slot.ready and slot.plan.hang
            if not watched or not slot.pid or slot.name in self._hung:
                continue
            silence = slot.watch.silent(at)
            if silence and silence[1] >= slot.plan.hang:
                with suppress(ProcessLookupError):
                    slot.send(DUMP_SIGNAL)
                self._add(slot.name, slot, slot.pid, *silence)
        for hung in list(self._hung.values()):
            if hung.due is not None and now >= hung.due:
                hung.due = None
                self._step(hung, at, now)

    def is_hung(self, slot: Slot) -> bool:
        """Return whether the process of a slot hangs, or hung when it ended."""
        return slot.name in self._hung

    def count(self, slot: Slot, reason: str) -> None:
        """Count a process that is replaced because of a ``death``, ``hang`` or ``stuck`` job."""
        counts = self._restarts.setdefault(slot.role.role, {})
        counts[reason] = counts.get(reason, 0) + 1
        self._publish()

    def on_death(self, slot: Slot) -> None:
        """Log the hangs of a slot whose process has ended; they stay until :meth:`forget`."""
        for hung in self._hung.values():
            if hung.slot is slot:
                self._log(hung)
                hung.due = None

    def forget(self, slot: Slot) -> None:
        """Remove the hangs of a slot that has a ready process or no longer exists."""
        for hung in list(self._hung.values()):
            if hung.slot.name == slot.name:
                self._remove(hung)

    def _add(self, name: str, slot: Slot, pid: int, part: str, silent: float) -> None:
        now = time.monotonic()
        hang = Hang(name, pid, part, now, silent)
        self._hung[name] = HungProcess(hang, slot, now + STACK_SECONDS)
        self._publish()

    def _step(self, hung: HungProcess, at: float, now: float) -> None:
        """Log the stacks and send TERM, unless there is progress; the second call kills."""
        slot, hang = hung.slot, hung.hang
        if hung.logged:
            self._report("error", f"{hang.process} did not stop in time: killing it", pid=hang.pid)
            slot.kill()
            return
        silence = slot.watch.silent(at)
        if hung.is_slot_process and silence and silence[1] < slot.plan.hang:
            self._report("warning", f"{hang}; it makes progress again", pid=hang.pid)
            self._remove(hung)
            return
        self._log(hung)
        if hung.is_slot_process:
            slot.send(signal.SIGTERM)
            hung.due = now + slot.role.grace + MARGIN

    def _log(self, hung: HungProcess) -> None:
        if hung.logged:
            return
        hung.logged = True
        hang = hung.hang
        details = {"state": _state(hang.pid), "stacks": "\n".join(hung.stacks)}
        self._report(
            "error",
            f"{hang}: replacing it",
            pid=hang.pid,
            part=hang.part,
            silent=round(hang.silent, 1),
            **{name: text for name, text in details.items() if text},
        )

    def _remove(self, hung: HungProcess) -> None:
        del self._hung[hung.hang.process]
        self._publish()

    def _publish(self) -> None:
        hangs = tuple(hung.hang for hung in self._hung.values())
        self._board.write(SupervisorState(hangs, self._restarts))


def _state(pid: int) -> str:
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""
    return STATES.get(letter, letter)
