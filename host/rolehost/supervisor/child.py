"""The slots of the supervisor, and how their processes are started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, NoReturn

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
from rolehost.supervisor.plan import ProcessPlan, RolePlan, StartedProcess, module_command

#: Exit status of a child whose program could not be executed.
EXIT_NOT_EXECUTED = 127

#: Signals that stop the supervisor. They are blocked while ``rolehost run`` becomes the
#: supervisor; otherwise one of them would kill it and leave its children without a parent.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Phase(Enum):
    """What the supervisor does when the process of a slot dies."""

    #: Restart it.
    RUNNING = 1
    #: It was started by a reload and is not ready yet: the reload fails.
    JOINING = 2
    #: A reload replaces it: nothing, that was expected.
    LEAVING = 3


class Exit(NamedTuple):
    """How a process ended; a negative status is the signal that killed it."""

    pid: int
    status: int
    ready: bool

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exited with status {self.status}"
        names = {signum.value: signum.name for signum in signal.Signals}
        return f"was killed by {names.get(-self.status, f'signal {-self.status}')}"


@dataclass(eq=False)
class Slot:
    """A place for one role process, which is restarted when it dies."""

    role: RolePlan
    #: Number among the slots of its role, from 0.
    number: int
    plan: ProcessPlan
    #: How often its process was started; a reload continues to count.
    incarnation: int = 0
    phase: Phase = Phase.RUNNING
    pid: int | None = None
    status: int | None = None
    ready: bool = False
    #: When it was started, monotonic seconds.
    began: float = 0.0
    #: When the supervisor must act: start it, or kill it because it is not ready or has not ended.
    due: float | None = None
    #: Deaths in a row before it was stable.
    deaths: int = 0
    #: Why the last process could not start, as it said itself.
    reason: str = ""
    watch: Watch = field(default_factory=Watch)
    _unread: bytes = b""

    @property
    def name(self) -> str:
        """``worker.0``."""
        return f"{self.role.role}.{self.number}"

    def start(self, now: float) -> None:
        """Start the process; raise OSError if none can be made at this moment."""
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
        descriptors = {
            STATUS_VARIABLE: writing,
            SOURCES_VARIABLE: plan.sources,
            BOARD_VARIABLE: plan.board,
            LISTENER_VARIABLE: plan.listener if self.role.role == "http" else -1,
        }
        variables = {REPLACES_VARIABLE: "1"} if self.phase is Phase.JOINING else {}
        try:
            pid = spawn(command, descriptors, variables)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._started(pid, reading, now)

    def adopt(self, first: StartedProcess, now: float) -> None:
        """Take over the first process, which ``rolehost run`` has forked before its ``exec``."""
        self.incarnation = 1
        os.set_inheritable(first.status, False)
        self._started(first.pid, first.status, now)

    def _started(self, pid: int, status: int, now: float) -> None:
        os.set_blocking(status, False)
        with suppress(OSError):
            # The child does this too. The group must exist from here on, whichever is first.
            os.setpgid(pid, pid)
        self.pid, self.status = pid, status
        self.began = now
        self.ready = False
        self.reason = ""
        self.watch.clear()
        self.due = now + self.plan.start_timeout
        self._unread = b""

    def read(self) -> list[str] | None:
        """Return the lines that the child has written; None if it closed the status pipe."""
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
        """Close the status pipe."""
        if self.status is not None:
            os.close(self.status)
            self.status = None

    def send(self, signum: int) -> None:
        """Send a signal to the process alone; its children get no signal."""
        if self.pid is not None:
            os.kill(self.pid, signum)

    def retire(self) -> None:
        """Ask the process to end because another one has replaced it."""
        self.send(RETIRE if self.role.role == "http" else signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its own children."""
        if self.pid is not None:
            signal_group(self.pid, signal.SIGKILL)

    def died(self, status: int) -> Exit:
        """Note that the process was reaped, and stop the children that it left behind."""
        assert self.pid is not None
        signal_group(self.pid, signal.SIGTERM)
        ended = Exit(self.pid, status, self.ready)
        self.pid = None
        self.due = None
        return ended

    def restart_after(self, now: float) -> float:
        """Count a death; return the seconds until the restart, and set :attr:`due`."""
        backoff = self.plan.backoff
        if now - self.began >= backoff.stable:
            self.deaths = 0
        self.deaths += 1
        delay = backoff.delay(self.deaths, ready=self.ready)
        self.ready = False
        self.due = now + delay
        return delay


def signal_pipe(signums: Iterable[signal.Signals]) -> int:
    """Return the read end of a pipe with a byte for each signal that comes (self-pipe trick).

    A signal that the parent ignores stays ignored, for example SIGHUP under ``nohup``.
    """
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing)
    for signum in signums:
        if signal.getsignal(signum) != signal.SIG_IGN or signum == signal.SIGCHLD:
            signal.signal(signum, lambda _signum, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signums)
    return reading


def signal_group(group: int, signum: int) -> None:
    """Send a signal to a process group, if any process of it is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def become_child(parent: int) -> None:
    """After the fork, in the child: set the signals, process group and input of a role process.

    Because of the group, Ctrl-C in a terminal reaches the supervisor alone, and the process can be
    killed with its children. ``parent`` is taken before the fork; the child ends with it.
    """
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    os.setpgid(0, 0)
    follow_parent(parent)
    # A background process that reads the terminal would be stopped by the kernel.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def spawn(
    command: Sequence[str], descriptors: Mapping[str, int], variables: Mapping[str, str]
) -> int:
    """Start a program as a child and return its process id; OSError if no process can be made.

    ``descriptors``: environment variable → file descriptor that the child inherits; -1: none.
    """
    parent = os.getpid()
    inherited = {name: number for name, number in descriptors.items() if number >= 0}
    pid = os.fork()
    if pid == 0:
        _execute(command, inherited, variables, parent)
    return pid


def _execute(
    command: Sequence[str], inherited: Mapping[str, int], variables: Mapping[str, str], parent: int
) -> NoReturn:
    try:
        become_child(parent)
        numbers = {name: str(number) for name, number in inherited.items()}
        for number in inherited.values():
            os.set_inheritable(number, True)
        os.execve(command[0], list(command), {**os.environ, **numbers, **variables})
    except OSError as error:
        os.write(2, f"cannot execute {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXIT_NOT_EXECUTED)
