"""What all engines have in common: a port, a folder, a process, and how to disturb it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from rolehost_testing.services.guarded import (
    Guarded,
    continue_family,
    free_port,
    kill_family,
    stop_family,
)

#: Seconds after which a server that does not answer, or does not end, is given up.
PATIENCE = 120.0


class StartFailed(RuntimeError):
    """An engine ended or did not answer after its start; the message ends with its log."""


class Server(ABC):
    """An engine on a free port of 127.0.0.1, in a folder of its own.

    Ends, and its folder with it, when it is closed, and when the process that started it is
    gone, however that ended. A context manager.

    Attributes:
        port: where it listens; the same for its whole life.
        folder: of its data, configuration and log.
    """

    #: What engine it is, as in ``start(name)``.
    name: str

    #: What asks it to end in order, and what ends it at once.
    fast: ClassVar[signal.Signals] = signal.SIGTERM
    at_once: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        self._guarded = Guarded(self.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.port = free_port()
        self.folder = self._guarded.folder

    @property
    @abstractmethod
    def url(self) -> str:
        """Of the server, as the plugin's settings take it."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Return the program, in the foreground, and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """Ask the engine whether it serves.

        False, ConnectionError and TimeoutError mean: not yet.
        """

    def _user(self) -> str | None:
        """Return the user to run it as; None is the user of this process."""
        return None

    @property
    def pid(self) -> int:
        """Id of the main process.

        Raises:
            RuntimeError: it does not run.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} on port {self.port} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    @property
    def log(self) -> str:
        """Everything that it has said so far."""
        with contextlib.suppress(FileNotFoundError):
            return self._log_file.read_text("utf-8", "replace")
        return ""

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def run(self) -> None:
        """Start it, again on the same port with the same data; return when it answers.

        Raises:
            StartFailed: it ended, or gave no answer in time.
            RuntimeError: it runs already.
        """
        self._launch()
        self._await_answer()

    def _launch(self) -> None:
        if self._process is not None:
            raise RuntimeError(f"{self.name} on port {self.port} runs already")
        self._process = self._guarded.spawn(self._command(), log=self._log_file, user=self._user())

    def _await_answer(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(ConnectionError, TimeoutError):
                if self._answers():
                    return
            if self._process is None or self._process.poll() is not None:
                self._reap()
                raise StartFailed(f"{self.name} ended at its start:\n{self.log[-2000:]}")
            if time.monotonic() > until:
                raise StartFailed(f"{self.name} does not answer:\n{self.log[-2000:]}")
            time.sleep(0.02)

    def stop(self, immediate: bool = False) -> None:
        """End it and return when it has ended; nothing happens when it does not run.

        Args:
            immediate: without any order: PostgreSQL's "immediate" shutdown, SIGKILL of the others.
        """
        if self._process is None:
            return
        self._ask_to_end(immediate)
        self._reap()

    def _ask_to_end(self, immediate: bool) -> None:
        number = self.at_once if immediate else self.fast
        if self._process is None:
            return
        if number is signal.SIGKILL:
            kill_family(self._process.pid)
        else:
            self.thaw()
            self._process.send_signal(number)

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            kill_family(process.pid)
            process.wait()
        self._guarded.gone(process)

    def restart(self, immediate: bool = False) -> None:
        """Stop it and start it again."""
        self.stop(immediate)
        self.run()

    def freeze(self) -> None:
        """Stop all its processes with SIGSTOP: connections stand, nobody answers."""
        stop_family(self.pid)

    def thaw(self) -> None:
        """Let its processes go on."""
        continue_family(self.pid)

    def close(self) -> None:
        """End it and remove its folder; the second time, do nothing."""
        if self._closed:
            return
        self._closed = True
        if self._process is not None:
            kill_family(self._process.pid)
            self._reap()
        self._guarded.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self._process is not None else "stopped"
        return f"<{self.name} on 127.0.0.1:{self.port}, {state}>"
