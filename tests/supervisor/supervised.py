"""Runs a supervisor as a process and waits for the lines that it and its children write."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rolehost.supervisor.plan import PLAN_VARIABLE, Plan, RolePlan

PROGRAM = (sys.executable, str(Path(__file__).parent / "role_program.py"))
PATIENCE = 30.0


class Supervised:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
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
        """Wait for a line: one that matches, or whose event begins with the text."""
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
        """Wait for the end; return the lines that had not been waited for."""
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

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def supervised(
    *roles: RolePlan, behave: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Supervised]:
    plan = Plan(
        name="test",
        roles=roles,
        command=settings.pop("command", PROGRAM),
        **{"backoff": 0.01, "log_level": "debug", "log_format": "json", **settings},
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "rolehost.supervisor"],
        stderr=subprocess.PIPE,
        env={**os.environ, PLAN_VARIABLE: plan.to_json(), "BEHAVE": json.dumps(behave or {})},
    )
    running = Supervised(process)
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
