"""Frozen role processes of a real deployment: shown to their siblings, logged, replaced."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("rolehost_ops"),
    pytest.mark.needs("dramatiq"),
    pytest.mark.needs("cronsim"),
]

PLUGIN = """
import time

from rolehost.api import PluginInfo, Route, Schedule, actor, handler, hookimpl


class Blocks:
    async def on_get(self, req, resp):
        time.sleep(600)


@actor(name="frozen.work")
def work(job): ...


@handler(topic="frozen", group="frozen", name="frozen.on_event")
def on_event(context, event): ...


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2, enqueues=("frozen.work",), publishes=("frozen",))


@hookimpl
def rolehost_routes():
    return [Route("/blocks", Blocks())]


@hookimpl
def rolehost_actors():
    return [work]


@hookimpl
def rolehost_handlers():
    return [on_event]


@hookimpl
def rolehost_schedules():
    return [Schedule(name="frozen.daily", actor="frozen.work", every=86_400.0)]
"""

PATIENCE = 30.0

ROLEHOST = (sys.executable, "-c", "from rolehost.cli.main import main; main()")

DEPLOYMENT = """
plugins = ["embedded", "ops", "frozen"]
[http]
bind = "127.0.0.1:{port}"
processes = 2
access_log = false
grace = 0.1
[worker]
grace = 0.1
[consumer]
grace = 0.1
[delivery]
heartbeat = 0.2
[supervisor]
hang = 2
# Longer than the test takes, which kills what is frozen when it has seen all of it.
grace = 60
[ops]
details = true
[log]
format = "json"
"""


class Deployment:
    def __init__(self, process: subprocess.Popen[str], port: int, file: Path) -> None:
        self.process, self.port, self.file = process, port, file
        self._lines: Queue[dict[str, Any] | None] = Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                if line.startswith("{"):
                    self._lines.put(json.loads(line))
        self._lines.put(None)

    def until(self, match: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        seen = []
        try:
            while (line := self._lines.get(timeout=PATIENCE)) is not None:
                if match(line):
                    return line
                seen.append(line)
        except Empty:
            pass
        raise AssertionError(f"not in the log: {seen}")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def pid_of(self, name: str) -> int:
        """Return the process with this name in the kernel's table, for example ``rh:worker.0``."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in map(int, children.read_text().split()):
            if Path(f"/proc/{pid}/comm").read_text().strip() == f"rh:{name}":
                return pid
        raise AssertionError(f"no process {name}")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    info = tmp_path / "frozen-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: frozen\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[rolehost]\nfrozen = frozen_plugin\n")
    (tmp_path / "frozen_plugin.py").write_text(PLUGIN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "rolehost.toml"
    file.write_text(DEPLOYMENT.format(port=port))
    process = subprocess.Popen(
        [*ROLEHOST, "run", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    running = Deployment(process, port, file)
    try:
        running.until(lambda line: line["event"].startswith("rolehost is ready"))
        yield running
    finally:
        process.terminate()
        process.wait(60)
        running.reader.join()
    assert process.returncode == 0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def until_status_has(deployment: Deployment, code: str) -> None:
    """Run ``rolehost fleet status`` until it reports an error with this code."""
    deadline = time.monotonic() + PATIENCE
    while True:
        reported = subprocess.run(
            [*ROLEHOST, "fleet", "status", str(deployment.file), "--json"],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(deployment.file.parent)},
        )
        seen = json.loads(reported.stdout)
        if code in [each["code"] for each in seen["errors"]]:
            return
        assert time.monotonic() < deadline, seen


def test_frozen_processes_of_every_role_are_logged_and_replaced(
    deployment: Deployment, stack: ExitStack
) -> None:
    names = ("worker.0", "consumer.0", "scheduler.0")
    frozen = {name: deployment.pid_of(name) for name in names}
    for pid in frozen.values():
        os.kill(pid, signal.SIGSTOP)
    # A responder blocks the event loop; the response never comes.
    blocked = stack.enter_context(socket.create_connection(("127.0.0.1", deployment.port)))
    blocked.sendall(b"GET /blocks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    hung: dict[str, dict[str, Any]] = {}
    while len(hung) < 4:
        line = deployment.until(lambda line: " hangs: " in line["event"] and "part" in line)
        hung[line["event"].partition(" (")[0]] = line
    assert {name: line["pid"] for name, line in hung.items() if name in names} == frozen
    assert {line["state"] for name, line in hung.items() if name in names} == {"stopped"}
    (http,) = (line for name, line in hung.items() if name.startswith("http "))
    assert http["part"] == "event loop"
    assert "frozen_plugin.py" in http["stacks"], http
    status, body = deployment.get("/readyz")
    assert status == 503
    assert "hangs: no progress of the whole process" in body
    until_status_has(deployment, "hang")
    for pid in (*frozen.values(), http["pid"]):
        with suppress(ProcessLookupError):  # one that could still end by itself
            os.kill(pid, signal.SIGKILL)
    again = set()
    while again != set(names):
        line = deployment.until(lambda line: line["event"].endswith(" is ready"))
        again.add(line["event"].removesuffix(" is ready"))
    counted = deployment.get("/metrics")[1]
    for role in ("http", "worker", "consumer", "scheduler"):
        name = "rolehost_process_restarts_total"
        assert f'{name}{{reason="hang",role="{role}"}} 1.0' in counted
        assert f'{name}{{reason="death",role="{role}"}} 0.0' in counted
    assert deployment.get("/readyz")[0] == 200
