"""Child processes of a benchmark; they always stop when the benchmark ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rolehost.roles.parent_death import die_with_parent

from benchmarks.model import Unmeasured

#: Timeouts in seconds: for a process to become ready, to stop, and for a program to finish.
READY, STOP, FINISH = 60.0, 30.0, 300.0


class Child:
    """A running process that writes its standard error to a file."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self.log = folder / f"{time.monotonic_ns()}.log"
        reading, self._status = os.pipe()
        self._reading = reading
        parent = os.getpid()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **env, "ROLEHOST_STATUS_FD": str(self._status)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._status],
                preexec_fn=lambda: die_with_parent(parent),
            )
        os.close(self._status)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def await_ready(self) -> None:
        """Wait until the process reports that it is ready.

        Raises:
            Unmeasured: the process ended or took too long.
        """
        output = b""
        while b"ready" not in output:
            if not select.select([self._reading], [], [], READY)[0]:
                raise self.failure(f"not ready in {READY:g} s")
            part = os.read(self._reading, 64)
            if not part:
                raise self.failure("ended before it was ready")
            output += part

    def await_line(self, text: str) -> str:
        """Wait for a line with this text in the log; return the line.

        Raises:
            Unmeasured: the process ended or took too long.
        """
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            for line in self.log.read_text("utf-8").splitlines():
                if text in line:
                    return line
            if self.process.poll() is not None:
                raise self.failure("ended before it was ready")
            time.sleep(0.005)
        raise self.failure(f"said nothing of {text!r} in {READY:g} s")

    def failure(self, what: str) -> Unmeasured:
        """Return an error with the last lines of the log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return Unmeasured("\n".join([f"{self.process.args}: {what}", *lines[-8:]]))

    def stop(self) -> None:
        """Ask the process to stop; kill it and its children if it does not."""
        os.close(self._reading)
        family = descendants(self.pid)
        self.process.terminate()
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            for pid in [self.pid, *family]:
                _kill(pid)
            self.process.wait()


@contextmanager
def running(arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[Child]:
    """Run a Python program during the block."""
    child = Child(arguments, folder, env)
    try:
        yield child
    finally:
        child.stop()


def figures(
    program: str, arguments: Sequence[str], folder: Path, env: Mapping[str, str]
) -> dict[str, Any]:
    """Run a module of :mod:`benchmarks.programs`; return the JSON that it prints last.

    Raises:
        Unmeasured: the program failed.
    """
    out = finish(["-m", f"benchmarks.programs.{program}", *arguments], folder, env)
    printed: dict[str, Any] = json.loads(out.splitlines()[-1])
    return printed


def finish(arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run a Python program; return its output.

    Raises:
        Unmeasured: the program failed.
    """
    parent = os.getpid()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: die_with_parent(parent, signal.SIGKILL),
        text=True,
    )
    try:
        out, err = process.communicate(timeout=FINISH)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise Unmeasured(f"{process.args} ended with {process.returncode}:\n{err[-2000:]}")
    return out


def descendants(pid: int) -> list[int]:
    """Return all descendants of a process, parents first (proc_pid_task(5))."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text("ascii").split()):
            found += [child, *descendants(child)]
    return found


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process and its children have used so far, in seconds.

    This is the sum over the threads that live now, from the scheduler's statistics (nanoseconds).
    """
    total = 0
    for each in [pid, *descendants(pid)]:
        for books in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(books.read_text("ascii").split()[0])
    return total / 1e9


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
