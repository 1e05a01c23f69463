"""Background commands of a proof, and their output."""

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

#: The supervisor's log line when every process is ready.
READY = "rolehost is ready"


class Running:
    """A command in a separate process group, and all lines of its output.

    Args:
        command: the command and its arguments.
        cwd: its working directory.
        environ: variables to add to the environment of this process.
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
        """The output so far."""
        with self._said:
            return "\n".join(self._lines)

    def until(self, words: str, *, seconds: float = 60.0) -> str:
        """Wait for a line with these words and return it.

        Raises:
            AssertionError: the command ended or the time passed without this line.
        """

        def found() -> str | None:
            return next((line for line in self._lines if words in line), None)

        with self._said:
            self._said.wait_for(lambda: found() is not None or self._ended, seconds)
            line = found()
        assert line is not None, f"{words!r} did not come:\n{self.output}"
        return line

    def wait(self, *, seconds: float = 60.0) -> int:
        """Wait until the command exits; return its status, negative if a signal killed it.

        Raises:
            subprocess.TimeoutExpired: it did not exit in time.
        """
        status = self._process.wait(seconds)
        self._reader.join(seconds)
        return status

    def stop(self, *, seconds: float = 60.0) -> int:
        """Send TERM and wait; return the exit status, negative if a signal killed the command.

        Raises:
            AssertionError: it did not exit in time and was killed.
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
    """Run a command in the background during the block; always stop it."""
    process = Running(command, cwd, environ)
    try:
        yield process
    finally:
        process.stop()


def eventually(ask: Callable[[], T], wanted: Callable[[T], bool], *, seconds: float = 30.0) -> T:
    """Poll until the answer is as wanted or the time is over; return the last answer.

    Use this only if there is no event to wait for.
    """
    pause = threading.Event()
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > end:
            return answer
        pause.wait(0.05)


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
