"""One slot: a role process that is started again and again."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from rolehost.observe.board import BOARD_VARIABLE
from rolehost.observe.progress import Watch
from rolehost.roles.lifeline import follow_parent
from rolehost.roles.status import (
    LISTENER_VARIABLE,
    REPLACES_VARIABLE,
    RETIRE,
    SOURCES_VARIABLE,
    STATUS_VARIABLE,
)
from rolehost.supervisor.plan import ProcessPlan, RolePlan, Started, module_command

#: Exit status of a child whose program could not even be executed.
EXIT_NOT_EXECUTED = 127

#: Signals that stop the supervisor. They wait while the command becomes the supervisor, which
#: else would die of one and leave its children without orders.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


#: What a slot is there for: it runs and is started again when it dies; it comes in a reload and
#: is not ready yet; it leaves in one and is gone when it dies.
RUNS, COMES, LEAVES = "runs", "comes", "leaves"


class Slot:
    """A place for one role process.

    Args:
        role: kind of the process.
        number: among those of its role, from 0.
        plan: of the deployment that it belongs to.
        after: the slot whose place it takes in a reload; its count of starts is gone on with.

    Attributes:
        role: kind of the process.
        plan: of the deployment that it belongs to.
        part: ``RUNS``, ``COMES`` or ``LEAVES``.
        name: ``worker.0``.
        incarnation: how often it was started, from 1; 0 before.
        pid: the process that runs now, else None.
        status: our end of its status pipe, else None.
        ready: whether the process that runs now has said so.
        began: when it was started, monotonic seconds.
        due: when it is to be started (not running), must be ready (starting) or must have ended
            (leaving), else None.
        deaths: how often in a row it died before it was stable.
        reason: why the process that ran last could not start, as it said itself; else empty.
        watch: the progress of the process that runs now.
    """

    def __init__(
        self, role: RolePlan, number: int, plan: ProcessPlan, after: Slot | None = None
    ) -> None:
        self.role = role
        self.number = number
        self.plan = plan
        self.part = RUNS
        self.name = f"{role.role}.{number}"
        self.incarnation: int = after.incarnation if after else 0
        self.pid: int | None = None
        self.status: int | None = None
        self.ready = False
        self.began = 0.0
        self.due: float | None = None
        self.deaths = 0
        self.reason = ""
        self.watch = Watch()
        self._unread = b""

    def start(self, now: float) -> None:
        """Start the process; it is killed by the kernel's hand when this one dies.

        The child leads a process group of its own, so that Ctrl-C in a terminal reaches the
        supervisor alone, and so that its own children can be killed with it.

        Raises:
            OSError: no process can be made at this moment.
        """
        self.incarnation += 1
        plan = self.plan
        command = [
            *(plan.command or module_command("rolehost.roles")),
            *("--role", self.role.role),
            *("--slot", str(self.number)),
            *("--incarnation", str(self.incarnation)),
            *plan.arguments,
        ]
        reading, writing = os.pipe()
        handed = {
            STATUS_VARIABLE: writing,
            SOURCES_VARIABLE: plan.sources,
            BOARD_VARIABLE: plan.board,
        }
        if self.role.role == "http":
            handed[LISTENER_VARIABLE] = plan.listener
        try:
            pid = spawn(command, handed, {REPLACES_VARIABLE: "1"} if self.part == COMES else {})
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._run(pid, reading, now)

    def adopt(self, started: Started, now: float) -> None:
        """Take over the first process, which the command has forked before it became this one."""
        self.incarnation = 1
        os.set_inheritable(started.status, False)
        self._run(started.pid, started.status, now)

    def _run(self, pid: int, status: int, now: float) -> None:
        os.set_blocking(status, False)
        with suppress(OSError):
            # The child does this too; whoever comes first, the group exists from here on.
            os.setpgid(pid, pid)
        self.pid, self.status = pid, status
        self.began = now
        self.ready = False
        self.reason = ""
        self.watch.clear()
        self.due = now + self.plan.start_timeout
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

    def retire(self) -> None:
        """Tell the process to end because another one has taken its place."""
        self.send(RETIRE if self.role.role == "http" else signal.SIGTERM)

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

    def delay(self, now: float) -> float:
        """Return the seconds to wait before the next start, counting this death.

        One that was ready can start. Its delay ends at ``stable``, after which it would have
        counted as well: a machine that kills at random never waits long for it.
        """
        plan = self.plan
        if now - self.began >= plan.stable:
            self.deaths = 0
        self.deaths += 1
        longest = plan.backoff_longest
        if self.ready:
            longest = min(longest, max(plan.stable, plan.backoff))
        doubled: float = plan.backoff * 2 ** min(self.deaths - 1, 30)
        return min(longest, doubled)


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


def spawn(command: Sequence[str], handed: Mapping[str, int], told: Mapping[str, str]) -> int:
    """Start a program as a child; return its process id.

    Args:
        command: the program and its arguments.
        handed: environment variable → number of a file descriptor that the child inherits;
            -1 for none.
        told: environment variables besides these and ours.

    Raises:
        OSError: no process can be made at this moment.
    """
    parent = os.getpid()
    handed = {name: number for name, number in handed.items() if number >= 0}
    pid = os.fork()
    if pid == 0:
        _execute(command, handed, told, parent)
    return pid


def _execute(
    command: Sequence[str], handed: Mapping[str, int], told: Mapping[str, str], parent: int
) -> NoReturn:
    """In the child, after the fork: become the program."""
    try:
        become_child(parent)
        numbers = {name: str(number) for name, number in handed.items()}
        for number in handed.values():
            os.set_inheritable(number, True)
        os.execve(command[0], list(command), {**os.environ, **numbers, **told})
    except OSError as error:
        os.write(2, f"cannot execute {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXIT_NOT_EXECUTED)
