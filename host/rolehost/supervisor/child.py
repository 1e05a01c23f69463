"""The slots of the supervisor, and the start of their processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from rolehost.observe.board import BOARD_VARIABLE
from rolehost.observe.progress import Watch
from rolehost.roles.parent_death import die_with_parent
from rolehost.roles.status import (
    LISTENER_VARIABLE,
    REPLACES_VARIABLE,
    RETIRE,
    SOURCES_VARIABLE,
    STATUS_VARIABLE,
)
from rolehost.supervisor.plan import ProcessPlan, RolePlan, StartedProcess, module_command

#: Exit status of a child that could not execute its program, as in a shell.
NOT_EXECUTED = 127

#: Signals that stop the supervisor. They are blocked while ``rolehost run`` becomes the
#: supervisor; otherwise a signal would kill it and orphan its children.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Phase(Enum):
    """The phase of a slot, which decides the reaction to the death of its process."""

    #: A death is followed by a restart.
    RUNNING = 1
    #: A reload started the process, and it is not ready yet: its death fails the reload.
    JOINING = 2
    #: A reload replaces the process: its death is expected.
    RETIRING = 3


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
    #: How often a process was started in this slot; a reload continues this count.
    incarnation: int = 0
    phase: Phase = Phase.RUNNING
    pid: int | None = None
    status: int | None = None
    ready: bool = False
    #: When the process was started, monotonic seconds.
    started_at: float = 0.0
    #: Monotonic seconds. Without a process: when to start one. Otherwise: when to kill the process,
    #: because it is not ready or has not ended by then.
    due: float | None = None
    #: Deaths in a row, counted anew after a process lived for ``backoff.stable`` seconds.
    deaths: int = 0
    #: The reason that the last process reported for not starting.
    reason: str = ""
    watch: Watch = field(default_factory=Watch)
    _unread: bytes = b""

    @property
    def name(self) -> str:
        """Role and number, for example ``worker.0``."""
        return f"{self.role.role}.{self.number}"

    def start(self, now: float) -> None:
        """Start the process; OSError: no process can be created now."""
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
        self._take(pid, reading, now)

    def adopt(self, first: StartedProcess, now: float) -> None:
        """Take over the first process, which ``rolehost run`` has forked before its ``exec``."""
        self.incarnation = 1
        os.set_inheritable(first.status, False)
        self._take(first.pid, first.status, now)

    def _take(self, pid: int, status: int, now: float) -> None:
        os.set_blocking(status, False)
        with suppress(OSError):
            # The child also calls setpgid(), because either process may run first.
            os.setpgid(pid, pid)
        self.pid, self.status = pid, status
        self.started_at = now
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

    def send(self, signum: int) -> None:
        """Send a signal to the process only, not to its children."""
        if self.pid is not None:
            os.kill(self.pid, signum)

    def retire(self) -> None:
        """Ask the process to end because another one has replaced it."""
        self.send(RETIRE if self.role.role == "http" else signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its own children."""
        if self.pid is not None:
            signal_group(self.pid, signal.SIGKILL)

    def mark_dead(self, status: int) -> Exit:
        """Record that the process was reaped, and send TERM to its own children."""
        assert self.pid is not None
        signal_group(self.pid, signal.SIGTERM)
        ended = Exit(self.pid, status, self.ready)
        self.pid = None
        self.due = None
        return ended

    def restart_after(self, now: float) -> float:
        """Count a death; return the seconds until the restart, and set :attr:`due`."""
        backoff = self.plan.backoff
        if now - self.started_at >= backoff.stable:
            self.deaths = 0
        self.deaths += 1
        delay = backoff.delay(self.deaths, ready=self.ready)
        self.ready = False
        self.due = now + delay
        return delay


def signal_pipe(signums: Iterable[signal.Signals]) -> int:
    """Return the read end of a pipe that gets a byte for each signal (self-pipe trick).

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
    """Send a signal to a process group, if the group has any process."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def become_child(parent: int) -> None:
    """Set signals, process group and input of a role process; called in the child after the fork.

    Because of the group, Ctrl-C in a terminal reaches only the supervisor, and the process can be
    killed with its children. The child ends when ``parent`` (its id, read before the fork) ends.
    """
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.setpgid(0, 0)
    die_with_parent(parent)
    # The kernel would stop a background process that reads the terminal (SIGTTIN).
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def spawn(
    command: Sequence[str], descriptors: Mapping[str, int], variables: Mapping[str, str] = {}
) -> int:
    """Start a program as a child and return its process id; OSError: no process can be created.

    ``descriptors``: environment variable → file descriptor that the child inherits; -1 is skipped.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        become_child(parent)
        environment = {**os.environ, **variables}
        for name, number in descriptors.items():
            if number >= 0:
                os.set_inheritable(number, True)
                environment[name] = str(number)
        os.execve(command[0], list(command), environment)
    except OSError as error:
        os.write(2, f"cannot execute {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_EXECUTED)
