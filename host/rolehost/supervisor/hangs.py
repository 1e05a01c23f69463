"""What the supervisor does about processes that live and make no progress.

A part of a process that was silent for ``[supervisor] hang`` seconds makes it *hung*: it is asked
for the stacks of its threads, reported with them, shown on the board that its siblings read, told
to stop, and killed when the grace of its role is over. Then it is started again like one that died.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rolehost.observe.board import Board, Hang, Notice
from rolehost.observe.progress import RunningClock
from rolehost.roles.beats import DUMP, DUMPED, LONGEST, interval
from rolehost.supervisor.child import RUNS, Slot
from rolehost.supervisor.drain import MARGIN

#: Seconds that a hung process has to write the stacks of its threads.
STACKS = 0.5

#: The most lines of stacks that are told.
LINES = 200

#: What the letters mean by which the kernel tells the state of a process.
STATES = {"T": "stopped", "t": "traced", "D": "waiting for a device", "R": "running", "S": "asleep"}


class Found:
    """A hang that is being dealt with.

    Attributes:
        hang: what the siblings are told.
        slot: of the process; of a process of the role http: of its master, which ends it.
        own: whether it is the process of the slot itself.
        stacks: what it has written of its threads.
        due: when the next thing is to be done, monotonic seconds; None: its death is waited for.
        told: whether it was reported.
    """

    def __init__(self, hang: Hang, slot: Slot, *, own: bool) -> None:
        self.hang = hang
        self.slot = slot
        self.own = own
        self.stacks: list[str] = []
        self.due: float | None = hang.since + STACKS
        self.told = False


class Hangs:
    """The processes that hang, and the count of those that were replaced.

    Args:
        board: where the processes are told.
        report: writes lines; asked for anew each time, for a reload may change it.
    """

    def __init__(self, board: Board, report: Callable[..., None]) -> None:
        self._board = board
        self._report = report
        self._clock = RunningClock(LONGEST)
        self._found: dict[str, Found] = {}
        self._restarts: dict[str, dict[str, int]] = {}

    def patience(self, slots: Iterable[Slot], now: float) -> list[float]:
        """Return when :meth:`look` is to be called, monotonic; empty: nothing is watched."""
        watched = [interval(slot.plan.hang) for slot in slots if slot.plan.hang]
        if not watched:
            return []
        self._clock.longest = min(watched)
        return [now + min(watched), *(each.due for each in self._found.values() if each.due)]

    def heard(self, slot: Slot, lines: Iterable[str]) -> None:
        """Take what a process wrote to its status pipe; what is not for us is left alone."""
        at = self._clock.look(time.monotonic())
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "beat":
                slot.watch.beat(rest, at)
            elif word == "draining":
                slot.watch.clear()
            elif word == "hung":
                pid, _, silent = rest.partition(" ")
                self._find(f"http {pid}", slot, int(pid), "event loop", float(silent))
            elif word == "lost":
                reason, _, pid = rest.partition(" ")
                self.count(slot, reason)
                found = self._found.get(f"http {pid}")
                if found is not None:
                    self._say(found)
                    self._over(f"http {pid}")
            elif line.startswith(DUMPED):
                for found in self._found.values():
                    if found.slot is slot and not found.told and len(found.stacks) < LINES:
                        found.stacks.append(line)

    def look(self, slots: Sequence[Slot], now: float) -> None:
        """Find what hangs, and go on with what was found."""
        at = self._clock.look(now)
        for slot in slots:
            if slot.part != RUNS or not slot.ready or not slot.pid or slot.name in self._found:
                continue
            silence = slot.watch.silent(at)
            if slot.plan.hang and silence and silence[1] >= slot.plan.hang:
                with suppress(ProcessLookupError):
                    slot.send(DUMP)
                self._find(slot.name, slot, slot.pid, *silence)
        for found in list(self._found.values()):
            if found.due is not None and now >= found.due:
                self._go_on(found, at, now)

    def of(self, slot: Slot) -> bool:
        """Say whether the process of a slot hangs, or hung when it ended."""
        return slot.name in self._found

    def count(self, slot: Slot, reason: str) -> None:
        """Count a process that ended and is replaced: ``death`` or ``hang``."""
        counts = self._restarts.setdefault(slot.role.role, {})
        counts[reason] = counts.get(reason, 0) + 1
        self._tell()

    def ended(self, slot: Slot) -> None:
        """The process of a slot has ended: nothing more is done to it."""
        for found in self._found.values():
            if found.slot is slot:
                self._say(found)
                found.due = None

    def replaced(self, slot: Slot) -> None:
        """A slot works again, or is there no more."""
        for name, found in list(self._found.items()):
            if found.slot.name == slot.name:
                self._over(name)

    def _find(self, name: str, slot: Slot, pid: int, part: str, silent: float) -> None:
        hang = Hang(name, pid, part, time.monotonic(), silent)
        self._found[name] = Found(hang, slot, own=name == slot.name)
        self._tell()

    def _go_on(self, found: Found, at: float, now: float) -> None:
        slot, hang = found.slot, found.hang
        found.due = None
        if found.told:
            self._report("error", f"{hang.process} did not stop in time: killing it", pid=hang.pid)
            slot.kill()
            return
        silence = slot.watch.silent(at)
        if found.own and silence and silence[1] < slot.plan.hang:
            self._report("warning", f"{hang}; it goes on again", pid=hang.pid)
            self._over(hang.process)
            return
        self._say(found)
        if found.own:
            slot.send(signal.SIGTERM)
            found.due = now + slot.role.grace + MARGIN

    def _say(self, found: Found) -> None:
        """Report a hang, once."""
        if found.told:
            return
        found.told = True
        hang = found.hang
        told = {"state": _state(hang.pid), "stacks": "\n".join(found.stacks)}
        self._report(
            "error",
            f"{hang}: replacing it",
            pid=hang.pid,
            part=hang.part,
            silent=round(hang.silent, 1),
            **{name: text for name, text in told.items() if text},
        )

    def _over(self, name: str) -> None:
        if self._found.pop(name, None) is not None:
            self._tell()

    def _tell(self) -> None:
        hangs = tuple(found.hang for found in self._found.values())
        self._board.write(Notice(hangs, self._restarts))


def _state(pid: int) -> str:
    """Return in what state the kernel has a process, in words; empty where that is not known."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""
    return STATES.get(letter, letter)
