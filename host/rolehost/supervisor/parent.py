"""The supervisor's event loop: signals, status pipes, the control socket and deadlines."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from rolehost.observe.board import Board
from rolehost.private import NotPrivate
from rolehost.redaction import hide
from rolehost.roles.status import RETIRE, STUCK
from rolehost.supervisor.check import EXIT_FAILED, CheckProcess
from rolehost.supervisor.child import NOT_EXECUTED, STOP_SIGNALS, Exit, Phase, Slot, signal_pipe
from rolehost.supervisor.control import ControlServer, Notify
from rolehost.supervisor.descriptors import anonymous_file, close_listening_socket
from rolehost.supervisor.drain import MARGIN, Drain
from rolehost.supervisor.hangs import HangMonitor
from rolehost.supervisor.plan import ProcessPlan
from rolehost.supervisor.reload import Reload, Replacement
from rolehost.supervisor.report import StatusReport

#: Exit statuses after which a restart cannot help: 2 wrong command line, 3 wrong configuration,
#: 4 cannot start, NOT_EXECUTED program not found.
CANNOT_START = frozenset({2, 3, 4, NOT_EXECUTED})

#: Exit status of the supervisor if it had to kill a process at the end.
EXIT_KILLED = 1


class Supervisor:
    """The parent of the role processes of one deployment."""

    def __init__(self, plan: ProcessPlan) -> None:
        if plan.board < 0:
            plan = plan._replace(board=anonymous_file())
        self._plan = plan
        #: A slot for each process, in the order of ``plan.started``. A reload adds the slots of
        #: new processes (phase JOINING); the slots of replaced processes become RETIRING.
        self._slots = [
            Slot(role, number, plan) for role in plan.roles for number in range(role.processes)
        ]
        self._started_at = plan.started_at or time.monotonic()
        self._announced = False
        self._report = StatusReport(plan.name, plan.log_level, plan.log_format)
        self._hangs = HangMonitor(Board(plan.board), self._report)
        self._selector = selectors.DefaultSelector()
        self._control = ControlServer(self._selector, self._greeting, self._begin_reload)
        self._reload: Reload | None = None
        self._check: CheckProcess | None = None
        self._replacement = Replacement(None, None)
        #: Whether SIGHUP asked for another reload during a reload.
        self._reload_again = False
        self._drain: Drain | None = None
        self._level = "info"
        self._exit = 0

    def run(self) -> int:
        """Run until a signal asks to stop and every process has ended; return the exit status.

        The status is 0 after a clean drain, 1 if a process had to be killed, or the status of a
        process that cannot start.
        """
        signals = signal_pipe((*STOP_SIGNALS, signal.SIGCHLD))
        self._watch(signals, lambda: self._on_signals(os.read(signals, 4096)))
        started = self._plan.started or (None,) * len(self._slots)
        for slot, first in zip(self._slots, started, strict=True):
            if first is None:
                self._start(slot)
            else:
                slot.adopt(first, time.monotonic())
                self._follow(slot)
        try:
            self._control.open()
        except (NotPrivate, OSError) as error:
            self._report("warning", f"rolehost reload is not available, only SIGHUP: {error}")
        # A child may have died before SIGCHLD had a handler.
        self._reap()
        while any(slot.pid for slot in self._slots) or self._drain is None:
            for key, _ in self._selector.select(self._timeout()):
                # The handler of an earlier event may have unregistered this descriptor.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._act(time.monotonic())
        self._control.close()
        close_listening_socket(self._plan)
        self._report(self._level, "stopped", status=self._exit)
        return self._exit

    # Events and deadlines.

    def _watch(self, number: int, act: Callable[[], None]) -> None:
        self._selector.register(number, selectors.EVENT_READ, act)

    def _timeout(self) -> float | None:
        due = [slot.due for slot in self._slots if slot.due is not None]
        if self._drain is not None:
            due.append(self._drain.deadline)
        else:
            due += self._hangs.due(self._slots, time.monotonic())
        if self._check is not None and self._check.due is not None:
            due.append(self._check.due)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _act(self, now: float) -> None:
        if self._drain is not None:
            self._drain.act(now)
            return
        if self._check is not None and self._check.due is not None and self._check.due <= now:
            self._check.kill()
        self._hangs.check(self._slots, now)
        for slot in list(self._slots):
            if slot.due is None or slot.due > now:
                continue
            if slot.pid is None:
                self._start(slot)
            else:
                self._kill_overdue(slot)

    def _on_signals(self, numbers: bytes) -> None:
        # Deaths first: a drain must know which processes have ended.
        self._reap()
        for number in numbers:
            # SIGHUP reloads, except on a terminal: there it means that the terminal was closed.
            if number == signal.SIGHUP and not (os.isatty(0) or os.isatty(2)):
                self._on_sighup()
            elif number != signal.SIGCHLD:
                self._stop(signal.Signals(number).name)

    def _stop(self, why: str) -> None:
        """Begin to drain; if draining has begun already, kill the remaining processes."""
        if self._drain is None:
            self._report("info", f"stopping on {why}: draining; a second signal ends at once")
            self._begin_drain("info")
        else:
            self._report("warning", f"{why} again: killing the remaining processes")
            self._exit = self._exit or EXIT_KILLED
            self._drain.kill_all()

    def _begin_drain(self, level: str) -> None:
        self._abandon_reload()
        for slot in self._slots:
            slot.due = None
            if slot.phase is Phase.JOINING:
                # The process has no work yet, and perhaps no handler of TERM.
                slot.kill()
        self._level = level
        self._drain = Drain(self._slots, self._plan.grace, self._report, level)
        self._drain.act(time.monotonic())

    # Start and end of each process.

    def _start(self, slot: Slot) -> None:
        try:
            slot.start(time.monotonic())
        except OSError as error:
            self._report("error", f"{slot.name} cannot be started: {error.strerror}")
            if slot.phase is Phase.JOINING:
                self._on_join_failed(slot, f"cannot be started: {error.strerror}")
            else:
                slot.restart_after(time.monotonic())
        else:
            self._follow(slot)

    def _follow(self, slot: Slot) -> None:
        assert slot.status is not None
        self._watch(slot.status, partial(self._read_status, slot))
        count = slot.incarnation
        level = "debug" if count == 1 else "info"
        self._report(level, f"{slot.name} started", pid=slot.pid, incarnation=count)

    def _read_status(self, slot: Slot) -> None:
        lines = slot.read()
        if lines is None:
            self._close_status(slot)
            return
        self._hangs.read_lines(slot, lines)
        for line in lines:
            if line.startswith("failed "):
                slot.reason = line.removeprefix("failed ")
        if "waiting" in lines and not slot.ready and slot.phase is Phase.RUNNING:
            # Waiting for a backend has no time limit.
            slot.due = None
        if "ready" in lines and not slot.ready:
            self._on_ready(slot)

    def _on_ready(self, slot: Slot) -> None:
        slot.ready = True
        self._hangs.forget(slot)
        if slot.phase is not Phase.RETIRING:
            slot.due = None
        self._report("info" if self._announced else "debug", f"{slot.name} is ready", pid=slot.pid)
        if slot.phase is Phase.JOINING:
            self._on_joined(slot)
        if not self._announced and all(slot.ready for slot in self._slots):
            self._announced = True
            seconds = round(time.monotonic() - self._started_at, 2)
            roles = " ".join(role.role for role in self._plan.roles)
            self._report("info", f"rolehost is ready: {roles} in {seconds} s")

    def _close_status(self, slot: Slot) -> None:
        if slot.status is not None:
            with suppress(KeyError):
                self._selector.unregister(slot.status)
            os.close(slot.status)
            slot.status = None

    def _kill_overdue(self, slot: Slot) -> None:
        slot.due = None
        if slot.phase is Phase.RETIRING:
            why = "did not stop in time"
        else:
            why = f"was not ready in {slot.plan.start_timeout:g} s"
            if slot.phase is Phase.JOINING:
                slot.reason = why
        self._report("error", f"{slot.name} {why}: killing it")
        slot.kill()

    def _reap(self) -> None:
        """Reap every child that has ended, and orphans if the supervisor is process 1."""
        slots = {slot.pid: slot for slot in self._slots if slot.pid}
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in slots:
                    self._on_death(slots[pid], os.waitstatus_to_exitcode(status))

    def _on_death(self, slot: Slot, status: int) -> None:
        if slot.status is not None:
            self._read_status(slot)
        self._close_status(slot)
        self._hangs.on_death(slot)
        ended = slot.mark_dead(status)
        if self._drain is not None:
            self._log_death_in_drain(slot, ended)
        elif slot.phase is Phase.RETIRING:
            self._on_retired(slot, ended)
        elif slot.phase is Phase.JOINING:
            self._on_join_failed(slot, slot.reason or str(ended))
        elif status in CANNOT_START and not ended.ready and not self._announced:
            self._cannot_start(slot, ended)
        else:
            self._restart(slot, ended)

    def _log_death_in_drain(self, slot: Slot, ended: Exit) -> None:
        # A process that was not ready may have no handler of TERM yet. If it could not start, the
        # reason is in the log already.
        expected = ended.status == 0 or (
            not ended.ready and ended.status in (-signal.SIGTERM, *CANNOT_START)
        )
        level = self._level if expected else "warning"
        self._report(level, f"{slot.name} {ended}", pid=ended.pid)
        if ended.status == -signal.SIGKILL and slot.phase is not Phase.JOINING:
            self._exit = self._exit or EXIT_KILLED

    def _cannot_start(self, slot: Slot, ended: Exit) -> None:
        """Stop all processes: at the first start, one ended with a status in CANNOT_START."""
        if slot.reason:
            self._report("error", f"{slot.role.role} cannot start: {slot.reason}")
        self._exit = ended.status
        # The ends of the other processes are logged at level debug, so that the reason stands out.
        self._begin_drain("debug")

    def _restart(self, slot: Slot, ended: Exit) -> None:
        replaced = "stuck" if ended.status == STUCK else "death"
        self._hangs.count(slot, "hang" if self._hangs.is_hung(slot) else replaced)
        seconds = slot.restart_after(time.monotonic())
        why = f" ({slot.reason})" if slot.reason else ""
        event = f"{slot.name} {ended}{why}; restarting in {seconds:g} s"
        self._report("error", event, pid=ended.pid)

    # Reload. :class:`~rolehost.supervisor.reload.Reload` decides about the steps, this loop runs
    # them. A check ends in _read_check(). A replacement starts its new process (JOINING):
    #   ready → _on_joined() → _retire_old() → the old process ends → _on_retired(): success
    #   not ready → _on_join_failed(): failure
    # Each of these ends calls _resume_reload(), which begins the next step.

    def _greeting(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "name": self._plan.name, "path": self._plan.path}

    def _on_sighup(self) -> None:
        if self._reload is not None:
            self._reload_again = True
        else:
            self._begin_reload(lambda _line: None)

    def _begin_reload(self, notify: Notify) -> None:
        if self._drain is None and self._reload is None:
            self._report("info", "reloading: checking the new deployment")
            self._reload = Reload(self._plan, self._slots, notify, self._report)
            self._resume_reload()
            return
        message = "the supervisor is being stopped" if self._drain else "another reload is running"
        notify({"result": {"outcome": "refused", "status": EXIT_FAILED, "message": message}})

    def _resume_reload(self, outcome: Any = None) -> None:
        """Give the reload the outcome of its last step, and begin the next step."""
        assert self._reload is not None
        step = self._reload.resume(outcome)
        self._plan = self._reload.plan
        if step is None:
            self._reload = None
            if self._reload_again:
                self._reload_again = False
                self._on_sighup()
        elif isinstance(step, CheckProcess):
            self._check = step
            self._watch(step.output, self._read_check)
        elif step.new is None:
            self._replacement = step
            self._retire_old()
        else:
            self._replacement = step
            step.new.phase = Phase.JOINING
            self._slots.append(step.new)
            self._start(step.new)

    def _read_check(self) -> None:
        assert self._check is not None
        answer = self._check.read()
        if answer is not None:
            self._end_check()
            self._resume_reload(answer)

    def _end_check(self) -> None:
        assert self._check is not None
        self._selector.unregister(self._check.output)
        self._check.close()
        self._check = None

    def _on_joined(self, slot: Slot) -> None:
        slot.phase = Phase.RUNNING
        self._retire_old()

    def _on_join_failed(self, slot: Slot, why: str) -> None:
        if self._replacement.must_succeed:
            # A rollback continues: the process is restarted later, like any process that dies.
            slot.restart_after(time.monotonic())
            slot.phase = Phase.RUNNING
            self._retire_old()
        else:
            self._slots.remove(slot)
            self._resume_reload(f"{slot.name} {why}")

    def _retire_old(self) -> None:
        """Stop the old process of the replacement; if none runs, the step has ended."""
        old = self._replacement.old
        if old is not None and old.pid is not None:
            old.phase = Phase.RETIRING
            old.due = time.monotonic() + old.role.grace + MARGIN
            old.retire()
            return
        if old is not None:
            self._slots.remove(old)
        self._resume_reload("")

    def _on_retired(self, slot: Slot, ended: Exit) -> None:
        expected = ended.status in (0, -signal.SIGTERM, -RETIRE)
        self._report("info" if expected else "warning", f"{slot.name} {ended}", pid=ended.pid)
        self._slots.remove(slot)
        if all(slot.name != other.name for other in self._slots):
            self._hangs.forget(slot)
        self._resume_reload("")

    def _abandon_reload(self) -> None:
        if self._check is not None:
            self._check.kill()
            self._end_check()
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None


def supervise(plan: ProcessPlan) -> int:
    """Supervise the processes of a plan in this process; see :meth:`Supervisor.run`.

    Call it in the main thread of a process without other children, because it reaps every child.
    """
    for number in (plan.listener, plan.sources, plan.board):
        if number >= 0:
            os.set_inheritable(number, False)
    hide("the plan", plan.hidden)
    return Supervisor(plan).run()
