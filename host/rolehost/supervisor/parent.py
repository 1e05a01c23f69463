"""The supervisor's loop: signals, status pipes and deadlines, without polling."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterable

from rolehost.supervisor.child import EXIT_NOT_EXECUTED, STOPPING, Slot
from rolehost.supervisor.drain import Drain
from rolehost.supervisor.plan import Plan
from rolehost.supervisor.report import Report, manner

#: Exit statuses of a child that say: trying again is of no use. A wrong command line, a wrong
#: configuration, something that cannot start here, a program that cannot be executed.
CANNOT_START = frozenset({2, 3, 4, EXIT_NOT_EXECUTED})

#: Exit status of the supervisor when a process had to be killed at the end.
EXIT_KILLED = 1


class Supervisor:
    """Parent of the role processes of one deployment.

    Args:
        plan: what to run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._report = Report(plan.name, plan.log_level, plan.log_format)
        self._began = plan.began or time.monotonic()
        self._slots = [
            Slot(role, number) for role in plan.roles for number in range(role.processes)
        ]
        self._selector = selectors.DefaultSelector()
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
        wakeup = self._listen()
        started = {(each.role, each.number): each for each in self._plan.started}
        for slot in self._slots:
            first = started.get((slot.role.role, slot.number))
            if first is None:
                self._start(slot)
            else:
                slot.adopt(first, self._plan, time.monotonic())
                self._follow(slot)
        # One that died before we listened for its death.
        self._reap()
        while any(slot.pid for slot in self._slots) or self._drain is None:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._signalled(os.read(wakeup, 4096))
                elif key.data.status is not None:
                    # None: a death in this very round has closed it.
                    self._told(key.data)
            self._act(time.monotonic())
        self._report(self._level, "stopped", status=self._exit)
        return self._exit

    def _listen(self) -> int:
        """Turn signals into bytes on a pipe; return its reading end."""
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writing)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if signal.getsignal(signum) != signal.SIG_IGN or signum == signal.SIGCHLD:
                signal.signal(signum, lambda _signum, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._selector.register(reading, selectors.EVENT_READ, None)
        return reading

    def _patience(self) -> float | None:
        """Return the seconds until the next deadline; None when there is none."""
        due = [slot.due for slot in self._slots if slot.due is not None]
        if self._drain is not None:
            due.append(self._drain.deadline)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _signalled(self, numbers: bytes) -> None:
        # Deaths first: a signal to stop must find the table of processes as it is.
        self._reap()
        for number in numbers:
            if number != signal.SIGCHLD:
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
        for slot in self._slots:
            slot.due = None
        self._level = level
        self._drain = Drain(self._slots, self._plan.grace, self._report, level)
        self._drain.act(time.monotonic())

    def _start(self, slot: Slot) -> None:
        try:
            slot.start(self._plan, time.monotonic())
        except OSError as error:
            self._report("error", f"{slot.name} cannot be started: {error.strerror}")
            self._again(slot)
            return
        self._follow(slot)

    def _follow(self, slot: Slot) -> None:
        assert slot.status is not None
        self._selector.register(slot.status, selectors.EVENT_READ, slot)
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
        slot.reason = _reason(told) or slot.reason
        if "waiting" in told and not slot.ready:
            # It knows how long: until the backend is there.
            slot.due = None
        if "ready" in told and not slot.ready:
            slot.ready = True
            slot.due = None
            self._report(
                "info" if self._announced else "debug", f"{slot.name} is ready", pid=slot.pid
            )
            self._announce()

    def _announce(self) -> None:
        """Say once that everything is ready."""
        if self._announced or not all(slot.ready for slot in self._slots):
            return
        self._announced = True
        seconds = round(time.monotonic() - self._began, 2)
        roles = " ".join(role.role for role in self._plan.roles)
        self._report("info", f"rolehost is ready: {roles} in {seconds} s")

    def _forget_status(self, slot: Slot) -> None:
        if slot.status is not None:
            self._selector.unregister(slot.status)
            slot.close_status()

    def _reap(self) -> None:
        """Take every child that has ended; orphans too, where the supervisor is process 1."""
        slots = {slot.pid: slot for slot in self._slots if slot.pid}
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
        slot.died()
        if self._drain is not None:
            # One that had not yet begun to listen for TERM simply dies of it, and what one says
            # that cannot start has been told already.
            well = status == 0 or (not ready and status in (-signal.SIGTERM, *CANNOT_START))
            self._report(
                self._level if well else "warning", f"{slot.name} {manner(status)}", pid=pid
            )
            if status == -signal.SIGKILL:
                self._exit = self._exit or EXIT_KILLED
            return
        if status in CANNOT_START and not ready and not self._announced:
            # Why is one line; nothing should distract from it.
            if slot.reason:
                self._report("error", f"{slot.role.role} cannot start: {slot.reason}")
            self._exit = status
            self._begin_drain("debug")
            return
        why = f" ({slot.reason})" if slot.reason else ""
        self._again(slot, f"{slot.name} {manner(status)}{why}", pid)

    def _again(self, slot: Slot, what: str = "", pid: int | None = None) -> None:
        """Set the time of the next start."""
        now = time.monotonic()
        slot.ready = False
        seconds = slot.delay(self._plan, now)
        slot.due = now + seconds
        if what:
            self._report("error", f"{what}; starting it again in {seconds:g} s", pid=pid)

    def _act(self, now: float) -> None:
        """Do what is due."""
        if self._drain is not None:
            self._drain.act(now)
            return
        for slot in self._slots:
            if slot.due is None or slot.due > now:
                continue
            if slot.pid is None:
                self._start(slot)
            else:
                timeout = self._plan.start_timeout
                self._report("error", f"{slot.name} was not ready in {timeout:g} s: killing it")
                slot.due = None
                slot.kill()


def _reason(told: Iterable[str]) -> str:
    """Return why a child says that it cannot start; empty when it does not."""
    return next((line[7:] for line in told if line.startswith("failed ")), "")


def run(plan: Plan) -> int:
    """Supervise the processes of a plan in this process; see :meth:`Supervisor.run`.

    It must be the main thread of a process without other children: every child is reaped.
    """
    return Supervisor(plan).run()
