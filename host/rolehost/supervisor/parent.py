"""The supervisor's loop: signals, status pipes and deadlines, without polling."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from rolehost.observe.board import Board
from rolehost.private import NotPrivate
from rolehost.redaction import hide
from rolehost.roles.status import RETIRE
from rolehost.supervisor.check import CheckProcess
from rolehost.supervisor.child import (
    COMES,
    EXIT_NOT_EXECUTED,
    LEAVES,
    RUNS,
    STOPPING,
    Slot,
)
from rolehost.supervisor.control import Control, Tell
from rolehost.supervisor.descriptors import anonymous_file, close_listening_socket
from rolehost.supervisor.drain import MARGIN, Drain
from rolehost.supervisor.hangs import Hangs
from rolehost.supervisor.plan import ProcessPlan
from rolehost.supervisor.reload import EXIT_CANNOT_START, Reload
from rolehost.supervisor.report import StatusReport, describe_exit

#: Exit statuses of a child that say: trying again is of no use. A wrong command line, a wrong
#: configuration, something that cannot start here, a program that cannot be executed.
CANNOT_START = frozenset({2, 3, 4, EXIT_NOT_EXECUTED})

#: Exit status of the supervisor when a process had to be killed at the end.
EXIT_KILLED = 1


class Supervisor:
    """Parent of the role processes of one deployment.

    Args:
        plan: what to run.

    Attributes:
        plan: what is run; another one after a reload.
        slots: its processes; in a reload also those that come and those that leave.
    """

    def __init__(self, plan: ProcessPlan) -> None:
        if plan.board < 0:
            plan = plan._replace(board=anonymous_file())
        self.plan = plan
        self._report = StatusReport(plan.name, plan.log_level, plan.log_format)
        self._began = plan.began or time.monotonic()
        self.slots = [
            Slot(role, number, plan) for role in plan.roles for number in range(role.processes)
        ]
        self._selector = selectors.DefaultSelector()
        self._control = Control(self._watch, self._forget, self._greeting, self._asked)
        self._hangs = Hangs(
            Board(plan.board), lambda *words, **fields: self._report(*words, **fields)
        )
        self._reload: Reload | None = None
        #: Whether a signal asked for a reload while there was one.
        self._reload_again = False
        self._drain: Drain | None = None
        self._announced = False
        #: Level of the lines that tell of an orderly end.
        self._level = "info"
        self._exit = 0

    def run(self) -> int:
        """Run until told to stop, and until every process has ended.

        Returns:
            0 after a clean drain, 1 when a process had to be killed, else the status of the
            process that could not start here (3 configuration, 4 start).
        """
        self._listen()
        started = {(each.role, each.number): each for each in self.plan.started}
        for slot in self.slots:
            first = started.get((slot.role.role, slot.number))
            if first is None:
                self._start(slot)
            else:
                slot.adopt(first, time.monotonic())
                self._follow(slot)
        try:
            self._control.open()
        except (NotPrivate, OSError) as error:
            self._report("warning", f"no rolehost reload, only SIGHUP: {error}")
        # One that died before we listened for its death.
        self._reap()
        while any(slot.pid for slot in self.slots) or self._drain is None:
            for key, _ in self._selector.select(self._patience()):
                # What was forgotten in this very round has nothing to say any more.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._act(time.monotonic())
        self._control.close()
        close_listening_socket(self.plan)
        self._report(self._level, "stopped", status=self._exit)
        return self._exit

    def _listen(self) -> None:
        """Turn signals into bytes on a pipe."""
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writing)
        for signum in (*STOPPING, signal.SIGCHLD):
            if signal.getsignal(signum) != signal.SIG_IGN or signum == signal.SIGCHLD:
                signal.signal(signum, lambda _signum, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._watch(reading, lambda: self._signalled(os.read(reading, 4096)))

    def _watch(self, number: int, act: Callable[[], None]) -> None:
        self._selector.register(number, selectors.EVENT_READ, act)

    def _forget(self, number: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(number)

    def _patience(self) -> float | None:
        """Return the seconds until the next deadline; None when there is none."""
        due = [slot.due for slot in self.slots if slot.due is not None]
        if self._drain is not None:
            due.append(self._drain.deadline)
        else:
            due += self._hangs.patience(self.slots, time.monotonic())
        if self._reload is not None and self._reload.check is not None:
            due += [self._reload.check.due] if self._reload.check.due is not None else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _signalled(self, numbers: bytes) -> None:
        # Deaths first: a signal to stop must find the table of processes as it is.
        self._reap()
        for number in numbers:
            if number == signal.SIGHUP and not _in_terminal():
                self._asked_by_signal()
            elif number != signal.SIGCHLD:
                self._stop(signal.Signals(number).name)

    def _stop(self, why: str) -> None:
        """Begin to drain; when draining already, end at once."""
        if self._drain is None:
            self._report("info", f"stopping on {why}: draining; a second signal ends at once")
            self._begin_drain("info")
        else:
            self._report("warning", f"{why} again: killing what is left")
            self._exit = self._exit or EXIT_KILLED
            self._drain.kill_all()

    def _begin_drain(self, level: str) -> None:
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None
        for slot in self.slots:
            slot.due = None
            if slot.part == COMES:
                # It has no work yet, and may not listen.
                slot.kill()
        self._level = level
        self._drain = Drain(self.slots, self.plan.grace, self._report, level)
        self._drain.act(time.monotonic())

    # What commands and signals ask for, and what a reload asks of us.

    def _greeting(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "name": self.plan.name, "path": self.plan.path}

    def _asked_by_signal(self) -> None:
        if self._reload is not None:
            self._reload_again = True
        else:
            self._asked(lambda _told: None)

    def _asked(self, tell: Tell) -> None:
        """Begin a reload, unless there is one or everything is being stopped."""
        refusal = {"outcome": "refused", "status": 1}
        if self._drain is not None:
            tell({"result": {**refusal, "words": "the supervisor is being stopped"}})
        elif self._reload is not None:
            tell({"result": {**refusal, "words": "another reload is running"}})
        else:
            self._report("info", "reloading: checking the new deployment")
            try:
                self._reload = Reload(self, tell)
            except OSError as error:
                self._report("error", f"no process can be started to check: {error.strerror}")
                words = f"no process can be started to check: {error.strerror}"
                tell({"result": {**refusal, "status": EXIT_CANNOT_START, "words": words}})

    def follow(self, check: CheckProcess) -> None:
        """Watch the pipe of a process that checks."""
        self._watch(check.output, self._checked)

    def unfollow(self, check: CheckProcess) -> None:
        """Close the pipe of a process that has answered, or will not."""
        self._forget(check.output)
        check.close()

    def _checked(self) -> None:
        if self._reload is not None:
            self._reload.told()

    def bring(self, slot: Slot) -> None:
        """Start a process that comes in a reload."""
        slot.part = COMES
        self.slots.append(slot)
        self._start(slot)

    def dismiss(self, slot: Slot) -> None:
        """Let a process go whose place another one has taken, or that is wanted no more."""
        assert self._reload is not None
        slot.part = LEAVES
        if slot.pid is None:
            self.slots.remove(slot)
            self._reload.left(slot)
        else:
            slot.due = time.monotonic() + slot.role.grace + MARGIN
            slot.retire()

    def again(self, slot: Slot) -> None:
        """Start a process again, which did not come, until it succeeds."""
        slot.part = RUNS
        self.slots.append(slot)
        self._again(slot)

    def over(self, result: dict[str, Any]) -> None:
        """Tell of a reload that has ended."""
        self._reload = None
        self._report = StatusReport(self.plan.name, self.plan.log_level, self.plan.log_format)
        for problem in result.get("problems", ()):
            where = {name: text for name, text in problem.items() if name != "what"}
            self._report("error", problem["what"], **where)
        told = {name: value for name, value in result.items() if value and name != "problems"}
        level = "error" if result["status"] else "info"
        self._report(level, f"reload: {told.pop('outcome')}", **told)
        if self._reload_again:
            self._reload_again = False
            self._asked_by_signal()

    # The life of each process.

    def _start(self, slot: Slot) -> None:
        try:
            slot.start(time.monotonic())
        except OSError as error:
            self._report("error", f"{slot.name} cannot be started: {error.strerror}")
            if slot.part == COMES:
                self._lost(slot, f"cannot be started: {error.strerror}")
            else:
                self._again(slot)
            return
        self._follow(slot)

    def _follow(self, slot: Slot) -> None:
        assert slot.status is not None
        self._watch(slot.status, partial(self._told, slot))
        self._report(
            "debug" if slot.incarnation == 1 else "info",
            f"{slot.name} started",
            pid=slot.pid,
            incarnation=slot.incarnation,
        )

    def _told(self, slot: Slot) -> None:
        """Take what a child wrote to its status pipe."""
        told = slot.read()
        if told is None:
            self._forget_status(slot)
            return
        self._hangs.heard(slot, told)
        slot.reason = _reason(told) or slot.reason
        if "waiting" in told and not slot.ready and slot.part == RUNS:
            # It knows how long: until the backend is there.
            slot.due = None
        if "ready" in told and not slot.ready:
            slot.ready = True
            self._hangs.replaced(slot)
            if slot.part != LEAVES:
                slot.due = None
            self._report(
                "info" if self._announced else "debug", f"{slot.name} is ready", pid=slot.pid
            )
            if slot.part == COMES and self._reload is not None:
                self._reload.came(slot)
            self._announce()

    def _announce(self) -> None:
        """Say once that everything is ready."""
        if self._announced or not all(slot.ready for slot in self.slots):
            return
        self._announced = True
        seconds = round(time.monotonic() - self._began, 2)
        roles = " ".join(role.role for role in self.plan.roles)
        self._report("info", f"rolehost is ready: {roles} in {seconds} s")

    def _forget_status(self, slot: Slot) -> None:
        if slot.status is not None:
            self._forget(slot.status)
            slot.close_status()

    def _reap(self) -> None:
        """Take every child that has ended; orphans too, where the supervisor is process 1."""
        slots = {slot.pid: slot for slot in self.slots if slot.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in slots:
                self._died(slots[pid], os.waitstatus_to_exitcode(status))

    def _died(self, slot: Slot, status: int) -> None:
        if slot.status is not None:
            self._told(slot)
        self._forget_status(slot)
        pid, ready = slot.pid, slot.ready
        self._hangs.ended(slot)
        slot.died()
        if self._drain is not None:
            # One that had not yet begun to listen for TERM simply dies of it, and what one says
            # that cannot start has been told already.
            well = status == 0 or (not ready and status in (-signal.SIGTERM, *CANNOT_START))
            self._report(
                self._level if well else "warning", f"{slot.name} {describe_exit(status)}", pid=pid
            )
            if status == -signal.SIGKILL and slot.part != COMES:
                self._exit = self._exit or EXIT_KILLED
            return
        if slot.part == LEAVES:
            self._gone(slot, status, pid)
            return
        if slot.part == COMES:
            self._lost(slot, slot.reason or describe_exit(status))
            return
        if status in CANNOT_START and not ready and not self._announced:
            # Why is one line; nothing should distract from it.
            if slot.reason:
                self._report("error", f"{slot.role.role} cannot start: {slot.reason}")
            self._exit = status
            self._begin_drain("debug")
            return
        why = f" ({slot.reason})" if slot.reason else ""
        self._hangs.count(slot, "hang" if self._hangs.of(slot) else "death")
        self._again(slot, f"{slot.name} {describe_exit(status)}{why}", pid)

    def _gone(self, slot: Slot, status: int, pid: int | None) -> None:
        """A process has left in a reload."""
        well = status == 0 or status in (-signal.SIGTERM, -RETIRE)
        self._report("info" if well else "warning", f"{slot.name} {describe_exit(status)}", pid=pid)
        self.slots.remove(slot)
        if all(slot.name != other.name for other in self.slots):
            self._hangs.replaced(slot)
        if self._reload is not None:
            self._reload.left(slot)

    def _lost(self, slot: Slot, why: str) -> None:
        """A process did not come in a reload."""
        self.slots.remove(slot)
        if self._reload is not None:
            self._reload.failed(slot, why)

    def _again(self, slot: Slot, what: str = "", pid: int | None = None) -> None:
        """Set the time of the next start."""
        now = time.monotonic()
        seconds = slot.delay(now)
        slot.ready = False
        slot.due = now + seconds
        if what:
            self._report("error", f"{what}; starting it again in {seconds:g} s", pid=pid)

    def _act(self, now: float) -> None:
        """Do what is due."""
        if self._drain is not None:
            self._drain.act(now)
            return
        if self._reload is not None and (check := self._reload.check) is not None:
            check.act(now)
        self._hangs.look(self.slots, now)
        for slot in list(self.slots):
            if slot.due is None or slot.due > now:
                continue
            if slot.pid is None:
                self._start(slot)
            else:
                self._late(slot)

    def _late(self, slot: Slot) -> None:
        """Kill a process that has not become ready, or has not ended, when it should have."""
        slot.due = None
        if slot.part == LEAVES:
            why = "did not stop in time"
        else:
            why = f"was not ready in {slot.plan.start_timeout:g} s"
            if slot.part == COMES:
                slot.reason = why
        self._report("error", f"{slot.name} {why}: killing it")
        slot.kill()


def _reason(told: Iterable[str]) -> str:
    """Return why a child says that it cannot start; empty when it does not."""
    return next((line[7:] for line in told if line.startswith("failed ")), "")


def _in_terminal() -> bool:
    """Whether a hang-up can be that of a terminal, which ends what runs in it."""
    return os.isatty(0) or os.isatty(2)


def run(plan: ProcessPlan) -> int:
    """Supervise the processes of a plan in this process; see :meth:`Supervisor.run`.

    It must be the main thread of a process without other children: every child is reaped.
    """
    for number in (plan.listener, plan.sources, plan.board):
        if number >= 0:
            os.set_inheritable(number, False)
    hide("the plan", plan.hidden)
    return Supervisor(plan).run()
