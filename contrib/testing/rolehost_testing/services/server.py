"""The base class of all engines: a port, a folder and a process, which tests can disturb."""

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

#: Timeout in seconds for the start and the stop of a server.
PATIENCE = 120.0


class StartFailed(RuntimeError):
    """An engine ended or did not answer after its start; the message ends with the log."""


class Server(ABC):
    """An engine on a free port of 127.0.0.1, with a separate folder. A context manager.

    The server ends and its folder is removed when it is closed, and when the process that
    started it ends or is killed.

    Attributes:
        port: the port on which it listens; it never changes.
        folder: the folder of its data, configuration and log.
    """

    #: Name of the engine, as in ``start(name)``.
    name: str

    #: The signals for a clean stop and for an immediate stop.
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
        """URL of the server, for the plugin's settings."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Return the program and its arguments, to run in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether the engine is ready for clients.

        False, ConnectionError and TimeoutError mean that it is not ready yet.
        """

    def _user(self) -> str | None:
        """Return the user to run it as; None means the user of this process."""
        return None

    @property
    def pid(self) -> int:
        """Id of the main process.

        Raises:
            RuntimeError: the server does not run.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} on port {self.port} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    @property
    def log(self) -> str:
        """The whole output so far."""
        with contextlib.suppress(FileNotFoundError):
            return self._log_file.read_text("utf-8", "replace")
        return ""

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def run(self) -> None:
        """Start the server and wait until it answers; a restart keeps the port and the data.

        Raises:
            StartFailed: the server ended, or did not answer in time.
            RuntimeError: it already runs.
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
        """Stop the server and wait for its end; do nothing if it does not run.

        Args:
            immediate: skip the clean shutdown: "immediate" mode of PostgreSQL, otherwise SIGKILL.
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
        """Stop the server and start it again."""
        self.stop(immediate)
        self.run()

    def freeze(self) -> None:
        """Stop all its processes with SIGSTOP: connections stay open without an answer."""
        stop_family(self.pid)

    def thaw(self) -> None:
        """Resume its processes."""
        continue_family(self.pid)

    def close(self) -> None:
        """Kill the server and remove its folder. Idempotent."""
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
