"""A folder and its processes, which end when the process that created them ends or is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rolehost_testing.services import guardian

#: Sends its process id to the guardian (its standard input is the pipe) and becomes the program,
#: so the guardian knows the process before the program runs.
_ANNOUNCED = 'echo $$ >&0; exec "$@" </dev/null'


class Guarded:
    """A temporary folder and the processes that use it; see :mod:`.guardian`."""

    def __init__(self, name: str) -> None:
        # -I and -S ignore the environment, for speed and reliability.
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, f"rolehost-{name}-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        assert self._guardian.stdin is not None and self._guardian.stdout is not None
        self._pipe = self._guardian.stdin
        self.folder = Path(os.fsdecode(self._guardian.stdout.readline().rstrip(b"\n")))
        self._guardian.stdout.close()

    def spawn(
        self, command: Sequence[str | Path], *, log: Path, user: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program in the folder, in a new session.

        Args:
            command: the program and its arguments.
            log: file to which its output is appended.
            user: the user to run it as; None means the user of this process.
        """
        with log.open("ab") as output:
            return subprocess.Popen(
                ["/bin/sh", "-c", _ANNOUNCED, "sh", *map(str, command)],
                stdin=self._pipe,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment(self.folder),
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )

    def gone(self, process: subprocess.Popen[bytes]) -> None:
        """Unregister a process that has ended, because its id may be reused."""
        self._pipe.write(b"-%d\n" % process.pid)
        self._pipe.flush()

    def at_end(self, command: Sequence[str]) -> None:
        """Register a command to run when the folder is closed or its owner ends."""
        self._pipe.write(json.dumps(list(command)).encode() + b"\n")
        self._pipe.flush()

    def close(self) -> None:
        """Kill the remaining processes, and remove the folder."""
        # A forked child may keep the pipe open, so the guardian also checks its parent process.
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._guardian.wait()


def environment(home: Path) -> dict[str, str]:
    """Return the environment of engines and tools, without settings for other servers.

    Args:
        home: the home directory, instead of the user's, which other users may be unable to read
            and which may contain client configuration.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C", "HOME": str(home)}


def stop_family(pid: int) -> None:
    """Freeze a process and all its descendants."""
    guardian.signal_family(pid, signal.SIGSTOP)


def continue_family(pid: int) -> None:
    """Resume a frozen process and all its descendants."""
    guardian.signal_family(pid, signal.SIGCONT)


def kill_family(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL."""
    guardian.signal_family(pid, signal.SIGKILL)


def free_port() -> int:
    """Return a free loopback port outside the range of ephemeral ports.

    A stopped server must get the same port again. The system could give an ephemeral port to a
    client in the meantime, even to a client that tries to connect to this server.
    """
    low = 32768
    with contextlib.suppress(OSError, ValueError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    upper = low if low > 12000 else 32768
    while True:
        port = random.randrange(10000, upper)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
