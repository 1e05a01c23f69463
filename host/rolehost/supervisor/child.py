"""One slot: a role process that is started again and again."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from rolehost.roles.lifeline import follow_parent
from rolehost.roles.status import STATUS_VARIABLE
from rolehost.supervisor.plan import Plan, RolePlan, Started

#: Exit status of a child whose program could not even be executed.
EXIT_NOT_EXECUTED = 127

#: Signals that stop the supervisor. They wait while the command becomes the supervisor, which
#: else would die of one and leave its children without orders.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Slot:
    """A place for one role process.

    Attributes:
        role: kind of the process.
        name: ``worker.0``.
        incarnation: how often it was started, from 1; 0 before.
        pid: the process that runs now, else None.
        status: our end of its status pipe, else None.
        ready: whether the process that runs now has said so.
        began: when it was started, monotonic seconds.
        due: when it is to be started (not running) or must be ready (starting), else None.
        deaths: how often in a row it died before it was stable.
        reason: why the process that ran last could not start, as it said itself; else empty.
    """

    def __init__(self, role: RolePlan, number: int) -> None:
        self.role = role
        self.number = number
        self.name = f"{role.role}.{number}"
        self.incarnation = 0
        self.pid: int | None = None
        self.status: int | None = None
        self.ready = False
        self.began = 0.0
        self.due: float | None = None
        self.deaths = 0
        self.reason = ""
        self._unread = b""

    def start(self, plan: Plan, now: float) -> None:
        """Start the process; it is killed by the kernel's hand when this one dies.

        The child leads a process group of its own, so that Ctrl-C in a terminal reaches the
        supervisor alone, and so that its own children can be killed with it.

        Raises:
            OSError: no process can be made at this moment.
        """
        self.incarnation += 1
        command = [
            *(plan.command or (sys.executable, "-m", "rolehost.roles")),
            *("--role", self.role.role),
            *("--slot", str(self.number)),
            *("--incarnation", str(self.incarnation)),
            *plan.arguments,
        ]
        parent = os.getpid()
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if pid == 0:
            _execute(command, writing, parent)
        os.close(writing)
        self._run(pid, reading, plan, now)

    def adopt(self, started: Started, plan: Plan, now: float) -> None:
        """Take over the first process, which the command has forked before it became this one."""
        self.incarnation = 1
        os.set_inheritable(started.status, False)
        self._run(started.pid, started.status, plan, now)

    def _run(self, pid: int, status: int, plan: Plan, now: float) -> None:
        os.set_blocking(status, False)
        with suppress(OSError):
            # The child does this too; whoever comes first, the group exists from here on.
            os.setpgid(pid, pid)
        self.pid, self.status = pid, status
        self.began = now
        self.ready = False
        self.reason = ""
        self.due = now + plan.start_timeout
        self._unread = b""

    def read(self) -> list[str] | None:
        """Return the lines that came from the child; None when it closed the pipe."""
        assert self.status is not None
        try:
            data = os.read(self.status, 4096)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def close_status(self) -> None:
        """Close our end of the status pipe."""
        if self.status is not None:
            os.close(self.status)
            self.status = None

    def send(self, signum: int) -> None:
        """Send a signal to the process alone; it tells its own children."""
        if self.pid is not None:
            os.kill(self.pid, signum)

    def died(self) -> None:
        """The process was reaped: let go of it, and stop what it left behind."""
        assert self.pid is not None
        signal_group(self.pid, signal.SIGTERM)
        self.pid = None
        self.due = None

    def kill(self) -> None:
        """Kill the process and its own children."""
        if self.pid is not None:
            signal_group(self.pid, signal.SIGKILL)

    def delay(self, plan: Plan, now: float) -> float:
        """Return the seconds to wait before the next start, counting this death."""
        if now - self.began >= plan.stable:
            self.deaths = 0
        self.deaths += 1
        doubled: float = plan.backoff * 2 ** min(self.deaths - 1, 30)
        return min(plan.backoff_longest, doubled)


def signal_group(group: int, signum: int) -> None:
    """Send a signal to a process group, when any of it is left."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return


def become_child(parent: int) -> None:
    """In a child, after the fork: signals, process group and input of a role process.

    ``parent`` is the process id of the supervisor, taken before the fork.
    """
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    os.setpgid(0, 0)
    follow_parent(parent)
    # A background process that read the terminal would be stopped.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _execute(command: list[str], status: int, parent: int) -> None:
    """In the child, after the fork: become the role process. Never returns."""
    try:
        become_child(parent)
        os.set_inheritable(status, True)
        os.execve(command[0], command, {**os.environ, STATUS_VARIABLE: str(status)})
    except OSError as error:
        os.write(2, f"cannot execute {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXIT_NOT_EXECUTED)
