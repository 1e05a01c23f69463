"""Asynchronous jobs that wait, in one process, compared with Celery, arq and taskiq.

The jobs are enqueued first. Every side may run all of them at the same time.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from rolehost_testing import services

from benchmarks.children import finish, processor_seconds, running
from benchmarks.deployments import Place, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.moments import Moments
from benchmarks.pairs import Side, take_turns
from benchmarks.postgres import UNFINISHED, Runs, execute

#: Jobs of one round, and the seconds that each of them waits.
JOBS, SECONDS = 1000, 1.0

#: The other libraries: a description, a program.
_OTHERS = (
    ("Celery with gevent", "celery_gevent"),
    ("arq", "arq_redis"),
    ("taskiq", "taskiq_redis_stream"),
)

#: The figures of a side: a description, the name of the samples, unit.
_SHOWN = (
    ("first start to last end", "seconds", "s"),
    ("process and server", "cost", "µs CPU"),
    ("largest resident size", "memory", "MB"),
)

#: Maximum seconds from the first start to the last end.
WANTED = Goal(most=2.0)


def run(bench: Bench) -> list[Figure]:
    """Measure all sides in turns: the host on SQLite and on PostgreSQL, the others on Redis."""
    try:
        with services.start("postgres") as postgres, services.start("redis") as redis:
            sides = _Sides(bench, postgres, redis)
            rounds = take_turns(
                {
                    "SQLite": sides.sqlite,
                    "PostgreSQL": sides.postgres,
                    **{what: sides.other(program) for what, program in _OTHERS},
                },
                rounds=bench.rounds,
                step=bench.begin(bench.rounds, "async"),
                patience=bench.patience,
            )
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing
    return [
        Figure(
            benchmark="async",
            what=f"{engine}: {JOBS:,} jobs that wait {SECONDS:g} s, {words}{beside}",
            unit=unit,
            ours=rounds.samples[engine][key],
            bare=rounds.samples[other][key] if other else (),
            quiet=rounds.quiet,
            inverse=True,
            goal=WANTED if key == "seconds" and not other else None,
        )
        for engine in ("SQLite", "PostgreSQL")
        for words, key, unit in _SHOWN
        for other, beside in [("", ""), *((what, f", beside {what}") for what, _ in _OTHERS)]
        if other or key == "seconds"
    ]


class _Sides:
    def __init__(self, bench: Bench, postgres: services.Server, redis: services.Server) -> None:
        self._bench = bench
        self._postgres = postgres
        self._redis = redis
        self._runs = Runs(bench, postgres.url)
        self._numbers = itertools.count()

    def sqlite(self) -> dict[str, float]:
        """The host on a file of SQLite, with ``synchronous = full``."""

        def drain(count: int) -> _Drained:
            folder = self._folder()
            path = folder / "bench.db"
            made = _deployed(folder, "embedded", path=str(path), synchronous="full")

            def unfinished() -> bool:
                with closing(sqlite3.connect(path)) as connection:
                    return connection.execute(UNFINISHED).fetchone() is not None

            return _drain("host_async", str(made.file), count, made, None, unfinished)

        return self._measure(drain)

    def postgres(self) -> dict[str, float]:
        """The host on PostgreSQL."""

        def drain(count: int) -> _Drained:
            with self._runs.database() as url:
                made = _deployed(self._folder(), "postgres", url=url)

                def unfinished() -> bool:
                    return bool(execute(url, UNFINISHED))

                engine = self._postgres.pid
                return _drain("host_async", str(made.file), count, made, engine, unfinished)

        return self._measure(drain)

    def other(self, program: str) -> Side:
        """Another library on Redis."""

        def drain(count: int) -> _Drained:
            url = self._redis.url
            with Redis.from_url(url) as client:
                client.flushall()
            made = place(self._folder(), {})
            return _drain(program, url, count, made, self._redis.pid, lambda: False)

        return lambda: self._measure(drain)

    def _folder(self) -> Path:
        return self._bench.folder / f"async-{next(self._numbers)}"

    def _measure(self, drain: Callable[[int], _Drained]) -> dict[str, float]:
        """Run one job, then all of them.

        Some libraries start their worker within the measured time: what the run of one job used is
        not counted.
        """
        count = self._bench.scaled(JOBS, JOBS // 10)
        start, full = drain(1), drain(count)
        return {
            "seconds": full.seconds,
            "cost": (full.used - start.used) / (count - 1) * 1e6,
            "memory": full.memory,
        }


@dataclass(frozen=True, slots=True)
class _Drained:
    """What some jobs took.

    Attributes:
        seconds: from the first start to the last end; in the host until it is stored.
        used: processor time of process and server, in seconds.
        memory: largest resident set size of the process, in megabytes.
    """

    seconds: float
    used: float
    memory: float


def _drain(
    program: str,
    where: str,
    count: int,
    made: Place,
    engine: int | None,
    unfinished: Callable[[], bool],
) -> _Drained:
    """Enqueue jobs, then let one process run them all.

    Args:
        program: a module of :mod:`benchmarks.programs`.
        where: the first argument of both of its commands: a deployment, or the URL of a server.
        count: number of jobs.
        made: where to run it.
        engine: the process of the server; None if there is none.
        unfinished: returns whether ends of jobs are still to be stored.
    """
    module = f"benchmarks.programs.{program}"
    finish(["-m", module, "fill", where, str(count), str(SECONDS)], made.folder, made.env)
    path = made.folder / "moments"
    moments = Moments(path, count)
    with running(
        ["-m", module, "drain", where, str(path), str(count)], made.folder, made.env
    ) as child:
        moments.await_ready()
        used = _used(child.pid, engine)
        moments.begin()
        moments.await_ends()
        last = moments.last
        while unfinished():
            last = time.monotonic_ns()
            time.sleep(0.005)
        seconds = (last - moments.first) / 1e9
        return _Drained(seconds, _used(child.pid, engine) - used, _peak(child.pid))


def _deployed(folder: Path, engine: str, **section: str) -> Place:
    sections: Mapping[str, Mapping[str, object]] = {
        engine: section,
        "worker": {"concurrency": JOBS},
        "log": {"level": "warning"},
    }
    plugins = {"bench-actors": "benchmarks.programs.waiting:waits"}
    return place(folder, plugins, [engine], **sections)


def _used(process: int, engine: int | None) -> float:
    """Return the seconds of processor time of the process and the server."""
    return processor_seconds(process) + (processor_seconds(engine) if engine else 0.0)


def _peak(pid: int) -> float:
    """Return the largest resident set size so far in megabytes (proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Unmeasured(f"no VmHWM of {pid}")
