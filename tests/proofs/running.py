"""Commands that run in the background of a proof, told apart from their output."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: What the supervisor says when every process takes work.
READY = "rolehost is ready"


class Running:
    """A command in a process group of its own, and every line it has printed.

    Args:
        command: the command and its arguments.
        cwd: where it runs.
        environ: variables besides those of this process.
    """

    def __init__(
        self, command: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self._said = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id of the command."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything printed so far."""
        with self._said:
            return "\n".join(self._lines)

    def until(self, words: str, *, seconds: float = 60.0) -> str:
        """Wait for a line with these words and return it.

        Raises:
            AssertionError: the command ended or the time passed without it.
        """

        def found() -> str | None:
            return next((line for line in self._lines if words in line), None)

        with self._said:
            self._said.wait_for(lambda: found() is not None or self._ended, seconds)
            line = found()
        assert line is not None, f"{words!r} did not come:\n{self.output}"
        return line

    def wait(self, *, seconds: float = 60.0) -> int:
        """Wait until it ends by itself; return the exit status, negative: killed by a signal.

        Raises:
            subprocess.TimeoutExpired: it did not.
        """
        status = self._process.wait(seconds)
        self._reader.join(seconds)
        return status

    def stop(self, *, seconds: float = 60.0) -> int:
        """Send TERM, wait for the end, return the exit status; negative: killed by a signal.

        Raises:
            AssertionError: it did not end in time; it is killed then.
        """
        self._process.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"TERM did not end it in {seconds} s:\n{self.output}") from None
        finally:
            self._reader.join(seconds)
            assert self._process.stdout is not None
            self._process.stdout.close()
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self._lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


@contextmanager
def running(
    command: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a command in the background for the time of the block; stop it in any case."""
    process = Running(command, cwd, environ)
    try:
        yield process
    finally:
        process.stop()


def eventually(ask: Callable[[], T], wanted: Callable[[T], bool], *, seconds: float = 30.0) -> T:
    """Ask again and again until the answer is as wanted, or the time is over; return the last.

    For what tells nobody when it happens; where something can be waited for, wait for it.
    """
    pause = threading.Event()
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > end:
            return answer
        pause.wait(0.05)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
