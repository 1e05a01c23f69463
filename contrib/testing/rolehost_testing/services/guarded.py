"""A folder and its processes, which end with the process that made them, however that ends."""

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

#: Tells the guardian who it is (its standard input is the pipe) and becomes the program: there is
#: no moment at which it runs and the guardian does not know it.
_ANNOUNCED = 'echo $$ >&0; exec "$@" </dev/null'


class Guarded:
    """A temporary folder with the processes that work in it; see :mod:`.guardian`."""

    def __init__(self, name: str) -> None:
        # -I and -S: nothing of the environment's, for speed and so that nothing can hinder it.
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
        """Start a program in the folder, in a session of its own.

        Args:
            command: the program and its arguments.
            log: file that gets what it says, after what is there.
            user: to run it as; None is the user of this process.
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
        """Say that a process has ended and was waited for: its number may be somebody else's."""
        self._pipe.write(b"-%d\n" % process.pid)
        self._pipe.flush()

    def at_end(self, command: Sequence[str]) -> None:
        """Run a command when the folder is closed, or its owner is gone."""
        self._pipe.write(json.dumps(list(command)).encode() + b"\n")
        self._pipe.flush()

    def close(self) -> None:
        """Kill what still runs, and remove the folder."""
        # A child forked by this process may hold the pipe open; the guardian looks for that.
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._guardian.wait()


def environment(home: Path) -> dict[str, str]:
    """Return what engines and their tools get: nothing that leads them to other servers.

    Args:
        home: instead of the person's, which another user may not read and which may hold
            configuration of clients.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C", "HOME": str(home)}


def stop_family(pid: int) -> None:
    """Freeze a process and all its descendants."""
    guardian.signal_family(pid, signal.SIGSTOP)


def continue_family(pid: int) -> None:
    """Let a frozen process and all its descendants go on."""
    guardian.signal_family(pid, signal.SIGCONT)


def kill_family(pid: int) -> None:
    """End a process and all its descendants with SIGKILL."""
    guardian.signal_family(pid, signal.SIGKILL)


def free_port() -> int:
    """Return a loopback port where nobody listens, and that no client is given by chance.

    A server that is down must find its port again: one from the range of clients' ports may be
    taken meanwhile, even by a client that tries to reach it.
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
