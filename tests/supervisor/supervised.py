"""Runs a supervisor as a process and waits for the lines that it and its children write."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rolehost.roles.backoff import Backoff
from rolehost.supervisor.control import RunningSupervisor
from rolehost.supervisor.plan import PLAN_VARIABLE, ProcessPlan, RolePlan

PROGRAM = (sys.executable, str(Path(__file__).parent / "role_program.py"))
CHECK = (sys.executable, str(Path(__file__).parent / "check_program.py"))
PATIENCE = 30.0


class Supervised:
    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.seen: list[dict[str, Any]] = []
        self._ended = False
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                text = line.decode()
                try:
                    self._lines.put(json.loads(text))
                except ValueError:
                    self._lines.put({"event": text.rstrip()})
        self._lines.put(None)

    def until(self, match: Callable[[dict[str, Any]], bool] | str) -> dict[str, Any]:
        """Wait for a line that matches, or has an event that begins with the text."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, f"ended before {match!r}; seen: {self.seen}"
            self.seen.append(line)
            if callable(match):
                if match(line):
                    return line
            elif line["event"].startswith(match):
                return line

    def rest(self) -> list[dict[str, Any]]:
        """Wait for the end; return the remaining lines."""
        lines: list[dict[str, Any]] = []
        if self._ended:
            return lines
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            lines.append(line)
        self._ended = True
        self.seen += lines
        return lines

    def pids(self) -> dict[str, int]:
        """The last known process of each slot."""
        return {line["child"]: line["pid"] for line in self.seen if line["event"] == "runs"}

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.folder / f"rolehost-supervisors-{os.getuid()}" / f"{self.process.pid}.sock"

    def offer(self, plan: ProcessPlan | None = None, **said: Any) -> None:
        """Set the answer of the next check of a deployment.

        Args:
            plan: the plan of a deployment without problems.
            said: more fields of the answer; ``behave`` is the behaviour of the new processes,
                ``hangs`` and ``silent`` that of the process that checks.
        """
        if plan is not None:
            said = {"status": 0, "plan": plan.to_json(), **said}
        (self.folder / "offer").write_text(json.dumps(said))

    def ask(self) -> Asked:
        """Ask for a reload as the command does."""
        return Asked(self.control)

    def reload(self, plan: ProcessPlan | None = None, **said: Any) -> dict[str, Any]:
        """Offer a deployment and ask for it; return the result."""
        self.offer(plan, **said)
        return self.ask().result()

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        return self.process.wait(PATIENCE)


class Asked:
    """A reload that a client waits for."""

    def __init__(self, control: Path) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        connection.connect(str(control))
        self.found = RunningSupervisor(connection)
        self._told = self.found.reload(PATIENCE)

    def first(self) -> dict[str, Any]:
        """Wait for the next line of progress, and return it."""
        return next(self._told)

    def result(self) -> dict[str, Any]:
        """Wait for the result, after which the supervisor closes the connection."""
        result: dict[str, Any]
        (result,) = (reported["result"] for reported in self._told if "result" in reported)
        self.found.close()
        return result


@contextmanager
def supervised(
    *roles: RolePlan, behave: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Supervised]:
    plan = planned(*roles, **settings)
    # Names of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="rh-", dir="/tmp"))
    environ = {
        PLAN_VARIABLE: plan.to_json(),
        "BEHAVE": json.dumps(behave or {}),
        "TMPDIR": str(folder),
        "OFFER": str(folder / "offer"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rolehost.supervisor"],
        # Under nohup it would be ignored, and stay so.
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[number for number in (plan.listener, plan.sources) if number >= 0],
        env={**os.environ, **environ},
    )
    running = Supervised(process, folder)
    try:
        yield running
    finally:
        for pid in running.pids().values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.kill()
        process.wait()
        running.rest()
        shutil.rmtree(folder)


def planned(*roles: RolePlan, **settings: Any) -> ProcessPlan:
    """A plan of the test's programs."""
    usual = {"backoff": Backoff(0.01), "log_level": "debug", "log_format": "json"}
    programs = {"command": PROGRAM, "check_command": CHECK}
    return ProcessPlan(name="test", roles=roles, **{**usual, **programs, **settings})
