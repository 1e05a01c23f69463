"""Latency of lone jobs and lone requests: the processes are idle before each of them."""

from __future__ import annotations

import http.client
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.children import Child, figures, running
from benchmarks.deployments import Place
from benchmarks.model import Bench, Unmeasured
from benchmarks.pairs import Side
from benchmarks.serving import await_answer

#: Jobs and requests of one round.
JOBS, REQUESTS = 250, 500

#: Requests before the first one that counts.
WARM = 20

#: Seconds between requests; random, so that they do not synchronise with periodic work.
PAUSE = (0.005, 0.03)

#: A plugin with one route, which writes one row.
ROUTE = '''\
"""A route that writes one row in a unit of work."""

from rolehost.api import PluginInfo, Route, hookimpl


class Rows:
    def on_get(self, req, resp):
        resp.media = {}

    def on_post(self, req, resp):
        with req.context.services.unit_of_work() as work:
            database = work.database.peewee
            database.execute_sql(f"INSERT INTO effects (number) VALUES ({database.param})", (1,))
        resp.media = {}


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, requires=("database",))


@hookimpl
def rolehost_routes():
    return [Route("/rows", Rows(), open="a benchmark")]
'''


@contextmanager
def jobs(bench: Bench, made: Place) -> Iterator[Side]:
    """Run a worker of a deployment; the side measures milliseconds from enqueue() to the start."""
    count = str(bench.scaled(JOBS, JOBS // 10))
    with _role("worker", made):

        def measure() -> dict[str, float]:
            found = figures("enqueuer", [str(made.file), count, ""], made.folder, made.env)
            made.folder.joinpath("answers.socket").unlink()
            return _quantiles(found["durable"])

        yield measure


@contextmanager
def requests(bench: Bench, made: Place, port: int) -> Iterator[Side]:
    """Run the role http of a deployment with :data:`ROUTE`; the side measures milliseconds."""
    count = bench.scaled(REQUESTS, REQUESTS // 10)
    with _role("http", made) as child:
        await_answer(child, port, "/rows")

        def measure() -> dict[str, float]:
            return _quantiles(_ask(port, count))

        yield measure


@contextmanager
def _role(role: str, made: Place) -> Iterator[Child]:
    arguments = ["-m", "rolehost.roles", "--role", role, "--deployment", str(made.file)]
    with running(arguments, made.folder, made.env) as child:
        child.await_ready()
        yield child


def _ask(port: int, count: int) -> Sequence[float]:
    chance = random.Random(1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    taken = []
    for number in range(count + WARM):
        time.sleep(chance.uniform(*PAUSE))
        began = time.perf_counter()
        connection.request("POST", "/rows", b"")
        answer = connection.getresponse()
        answer.read()
        if number >= WARM:
            taken.append((time.perf_counter() - began) * 1e3)
        if answer.status != http.client.OK:
            raise Unmeasured(f"POST /rows was answered with {answer.status}")
    connection.close()
    return taken


def _quantiles(taken: Sequence[float]) -> dict[str, float]:
    return {"p50": statistics.median(taken), "p99": statistics.quantiles(taken, n=100)[98]}
