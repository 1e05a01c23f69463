"""Webhook deliveries: rate, latency and processor time, with all processes of a deployment.

A sender posts messages to the HTTP API of the flagship, each of which has one endpoint; a receiver
answers 204. Both are separate processes. A message is done when it has arrived at the receiver.
svix-server is not run here; ``docs/benchmarks.md`` says how it was measured.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rolehost_testing import services

from benchmarks import quiet
from benchmarks.children import Child, descendants, finish, processor_seconds, running
from benchmarks.deployments import free_port, migrate, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.moments import Moments
from benchmarks.postgres import execute

#: Messages of a round as fast as possible, and in the round at half of that rate.
FAST, PACED = 3000, 1500
#: Timeout in seconds for the receiver to listen.
_LISTEN = 10.0

_PROGRAM = "benchmarks.programs.webhook_ends"
_COMMITS = "SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()"

#: Name of a sample → description, unit, goal.
_SHOWN: Mapping[str, tuple[str, str, Goal | None]] = {
    "rate": ("deliveries", "/s", None),
    "p50": ("half load: answer to arrival, p50", "ms", None),
    "p99": ("half load: answer to arrival, p99", "ms", Goal(most=10)),
    "total": ("processor time of a message, all processes of the service", "µs CPU", None),
    "http": ("of it, the API", "µs CPU", None),
    "worker": ("of it, the worker", "µs CPU", None),
    "others": ("of it, scheduler and supervisor", "µs CPU", None),
    "engine": ("of it, PostgreSQL", "µs CPU", None),
    "commits": ("commits of a message", "", None),
}


def run(bench: Bench) -> list[Figure]:
    """Measure on SQLite and on PostgreSQL in turns."""
    samples: dict[str, dict[str, list[float]]] = {"SQLite": {}, "PostgreSQL": {}}
    still: list[bool] = []
    with ExitStack() as stack:
        sides = {engine: stack.enter_context(_side(bench, engine)) for engine in samples}
        for side in sides.values():
            side.measure()  # a warm-up
        step = bench.begin(bench.rounds, "webhooks")
        for _ in range(bench.rounds):
            before = quiet.await_still(bench.patience)
            for engine, side in sides.items():
                for name, value in side.measure().items():
                    samples[engine].setdefault(name, []).append(value)
            still.append(before and quiet.still())
            step()
    return [
        Figure(
            benchmark="webhooks",
            what=f"{engine}: {_SHOWN[name][0]}",
            unit=_SHOWN[name][1],
            ours=values,
            quiet=still,
            goal=_SHOWN[name][2],
        )
        for engine, found in samples.items()
        for name, values in found.items()
    ]


@contextmanager
def _side(bench: Bench, engine: str) -> Iterator[_Side]:
    folder, port = bench.folder / engine, free_port()
    sections: dict[str, dict[str, Any]] = {
        "http": {"bind": f"127.0.0.1:{port}"},
        "log": {"level": "warning"},
        "webhooks-delivery": {"allow_private": True},
    }
    with ExitStack() as stack:
        server = None
        if engine == "SQLite":
            plugin = "embedded"
            sections["embedded"] = {"path": str(folder / "bench.db")}
        else:
            plugin = "postgres"
            try:
                server = stack.enter_context(services.start("postgres"))
            except services.Missing as missing:
                raise Unmeasured(str(missing)) from missing
            sections["postgres"] = {"url": server.url}
            sections["storage"] = {"queue": "postgres"}
        made = place(folder, {}, [plugin, "webhooks-api", "webhooks-delivery"], **sections)
        migrate(made)
        host = stack.enter_context(
            running(["-m", "rolehost", "run", str(made.file)], folder, made.env)
        )
        _await_answer(port)
        yield _Side(bench, folder, made.env, port, host, server)


class _Side:
    """A running deployment on one engine."""

    def __init__(
        self,
        bench: Bench,
        folder: Path,
        env: Mapping[str, str],
        port: int,
        host: Child,
        server: Any,
    ) -> None:
        self._folder, self._env, self._port = folder, env, port
        self._host, self._server = host, server
        self._fast, self._paced = bench.scaled(FAST, 200), bench.scaled(PACED, 100)
        self._round = 0
        _ask(port, "/api/v1/app", {"name": "bench", "uid": "bench"})

    def measure(self) -> dict[str, float]:
        """Send messages as fast as possible, and then at half of the rate."""
        self._round += 1
        count = self._fast + self._paced
        path = self._folder / f"moments-{self._round}"
        moments = Moments(path, count)
        port_file = self._folder / f"port-{self._round}"
        arguments = ["-m", _PROGRAM, "receive", str(port_file), str(path), str(count)]
        with running(arguments, self._folder, self._env):
            url = f"http://127.0.0.1:{_await_text(port_file)}/"
            endpoint = {"url": url, "uid": f"round-{self._round}"}
            _ask(self._port, "/api/v1/app/bench/endpoint", endpoint)
            before, began = self._spent(), time.monotonic_ns()
            self._send(path, count, 0, self._fast, 0.0)
            moments.await_ends(range(self._fast))
            after = self._spent()
            rate = self._fast / (max(moments.ends(range(self._fast))) - began) * 1e9
            paced = range(self._fast, count)
            self._send(path, count, paced.start, len(paced), rate / 2)
            moments.await_ends(paced)
            _ask(self._port, f"/api/v1/app/bench/endpoint/round-{self._round}", method="DELETE")
        waited = sorted(
            max(0, end - start) / 1e6
            for start, end in zip(moments.starts(paced), moments.ends(paced), strict=True)
        )
        used = {name: (after[name] - before[name]) / self._fast for name in after}
        return {
            "rate": rate,
            "p50": statistics.median(waited),
            "p99": waited[int(len(waited) * 0.99)],
            "total": sum(value for name, value in used.items() if name != "commits"),
            **used,
        }

    def _send(self, path: Path, jobs: int, first: int, count: int, rate: float) -> None:
        numbers = map(str, (self._port, path, jobs, first, count, rate))
        finish(["-m", _PROGRAM, "send", *numbers], self._folder, self._env)

    def _spent(self) -> dict[str, float]:
        """Return the µs of processor time so far by kind of process, and the commits."""
        spent = {"http": 0.0, "worker": 0.0, "others": 0.0}
        for pid in [self._host.pid, *descendants(self._host.pid)]:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            role = name.removeprefix("rh:").partition(".")[0]
            spent[role if role in spent else "others"] += _own_seconds(pid) * 1e6
        if self._server is not None:
            spent["engine"] = processor_seconds(self._server.pid) * 1e6
            spent["commits"] = float(execute(self._server.url, _COMMITS)[0][0])
        return spent


def _own_seconds(pid: int) -> float:
    """Return the processor time of the threads of a process, without its children."""
    books = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text("ascii").split()[0]) for each in books) / 1e9


def _ask(port: int, path: str, body: Any = None, *, method: str | None = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)) as answer:
        answer.read()


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + _LISTEN
    while True:
        with contextlib.suppress(OSError):
            _ask(port, "/api/v1/health")
            return
        if time.monotonic() > deadline:
            raise Unmeasured(f"the API did not answer in {_LISTEN:g} s")
        time.sleep(0.05)  # until the process has opened its port


def _await_text(path: Path) -> str:
    deadline = time.monotonic() + _LISTEN
    while not path.exists() or not path.read_text():
        if time.monotonic() > deadline:
            raise Unmeasured(f"the receiver did not listen in {_LISTEN:g} s")
        time.sleep(0.01)  # until the program has written its port
    return path.read_text()
