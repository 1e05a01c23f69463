"""Ephemeral actors on Redis, compared with Dramatiq and its Redis broker on the same server."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from rolehost_testing import services

from benchmarks.children import Child, figures
from benchmarks.deployments import Place, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import interleave
from benchmarks.tally import Tally

#: Messages of one round, for each number of processes.
MESSAGES = 10_000

#: Worker threads of each process.
THREADS = 8

#: The rate excludes the first tenth of the messages: after it all processes are busy.
WARM = 0.1

_SHOWN = (
    ("sent", "sent one by one"),
    ("run-1", "run, one process of 8 threads"),
    ("run-2", "run, two processes of 8 threads"),
)


def run(bench: Bench) -> list[Figure]:
    """Send messages one by one and run them with one process, then again with two."""
    count = bench.scaled(MESSAGES, MESSAGES // 10)
    with redis_url() as url:
        sides = _Sides(bench, url, count)
        rounds = interleave(
            sides.host,
            sides.bare,
            rounds=bench.rounds,
            step=bench.begin(bench.rounds, "ephemeral-redis"),
            patience=bench.patience,
        )
    return [
        Figure(
            benchmark="ephemeral-redis",
            what=f"ephemeral messages on Redis, {what}",
            unit="/s",
            ours=rounds.ours[key],
            bare=rounds.bare[key],
            quiet=rounds.quiet,
            goal=Goal(least=0.95),
        )
        for key, what in _SHOWN
    ]


@contextmanager
def redis_url() -> Iterator[str]:
    """Give the URL of a separate Redis without persistence.

    Raises:
        Unmeasured: Redis is not installed on this machine.
    """
    try:
        with services.start("redis", parameters={"appendonly": "no"}) as server:
            yield server.url
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing


def redis_place(folder: Path, url: str, postgres: str = "") -> Place:
    """Write a deployment with Redis as queue; without PostgreSQL the database is a file."""
    return place(
        folder,
        {"bench-actors": "benchmarks.programs.plugin:actors"},
        ["postgres" if postgres else "embedded", "redis"],
        **{"postgres": {"url": postgres}}
        if postgres
        else {"embedded": {"path": str(folder / "bench.db")}},
        storage={"queue": "redis"},
        redis={"url": url},
        worker={"threads": THREADS},
        log={"level": "warning"},
    )


class _Sides:
    def __init__(self, bench: Bench, url: str, count: int) -> None:
        self._folder = bench.folder
        self._url = url
        self._count = count
        self._number = itertools.count()

    def host(self) -> dict[str, float]:
        """The host's services and worker role."""
        made = self._place()
        return self._measure("host_ephemeral", [str(made.file)], [str(made.file)], made)

    def bare(self) -> dict[str, float]:
        """Dramatiq alone."""
        return self._measure(
            "dramatiq_redis", [self._url], [self._url, str(THREADS)], self._place()
        )

    def _place(self) -> Place:
        return redis_place(self._folder / f"ephemeral-redis-{next(self._number)}", self._url)

    def _measure(
        self, program: str, fill: Sequence[str], drain: Sequence[str], made: Place
    ) -> dict[str, float]:
        with Redis.from_url(self._url) as client:
            client.flushall()
        found: dict[str, float] = {}
        for processes in (1, 2):
            sent = figures(program, ["fill", *fill, str(self._count)], made.folder, made.env)
            found |= {"sent": sent["sent"]}
            path = made.folder / f"tally-{processes}"
            tally = Tally(path)
            with ExitStack() as stack:
                for slot in range(processes):
                    module = f"benchmarks.programs.{program}"
                    arguments = ["-m", module, "drain", *drain, str(path), str(slot)]
                    child = Child(arguments, made.folder, made.env)
                    stack.callback(child.stop)
                tally.await_ready(processes)
                tally.begin()
                tally.await_total(int(self._count * WARM))
                first, began = tally.total, time.perf_counter()
                tally.await_total(self._count)
                seconds = time.perf_counter() - began
                found[f"run-{processes}"] = (self._count - first) / seconds
        return found
