"""Durable jobs on PostgreSQL, compared with Dramatiq, Celery, procrastinate and a bare loop.

Each round of each side uses a new database on one server with fsync on. The jobs to run are
enqueued in bulk first. Every side has the same number of processes and threads.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from rolehost_testing import services

from benchmarks.children import Child, figures, finish
from benchmarks.deployments import Place, migrate, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Rounds, Side, interleave
from benchmarks.programs import bare_psycopg
from benchmarks.tally import Tally

#: Jobs of one round.
PLAIN, EFFECTS, SINGLE, DRAMATIQ, CELERY, PROCRASTINATE = 30_000, 5000, 8000, 10_000, 4000, 1500

#: Processes that run jobs on each side; each has the default number of worker threads.
PROCESSES = 2

#: The rate excludes the first tenth of the jobs: after it all processes are busy.
WARM = 0.1

_UNFINISHED = (
    "SELECT 1 FROM rolehost_jobs WHERE state IN ('available', 'claimed', 'running') LIMIT 1"
)


def run(bench: Bench) -> list[Figure]:
    """Measure each pair in turns, on separate servers."""
    with _sides(bench) as sides:
        pairs = {
            name: interleave(
                ours, bare,
                rounds=bench.rounds,
                step=bench.begin(bench.rounds, f"jobs-postgres: {name}"),
                patience=bench.patience,
            )
            for name, (ours, bare) in sides.items()
        }  # fmt: skip
    return [_figure(pairs[name], *rest) for name, *rest in _SHOWN]


#: The figures: the pair, a description, the name of the samples, the goal.
_SHOWN: tuple[tuple[str, str, str, Goal | None], ...] = (
    ("dramatiq", "no-op jobs run, beside Dramatiq on Redis", "drain", Goal(least=2)),
    ("loop", "no-op jobs run, beside a bare loop", "drain", None),
    ("celery", "no-op jobs run, beside Celery on Redis", "drain", None),
    ("procrastinate", "no-op jobs run, beside procrastinate", "drain", None),
    ("effects", "jobs run, one effect row each", "drain", Goal(least=0.7)),
    ("single", "jobs enqueued, one a transaction, 8 threads", "single", Goal(least=0.8)),
    ("bulk", "jobs enqueued in bulk", "bulk", None),
)


def _figure(rounds: Rounds, what: str, sample: str, goal: Goal | None) -> Figure:
    return Figure(
        benchmark="jobs-postgres",
        what=f"PostgreSQL: {what}",
        unit="/s",
        ours=rounds.ours[sample],
        bare=rounds.bare[sample],
        quiet=rounds.quiet,
        goal=goal,
    )


@dataclass(frozen=True, slots=True)
class _Program:
    """A module of :mod:`benchmarks.programs` and the arguments of its commands."""

    name: str
    fill: Sequence[str]
    drain: Sequence[str]


class _Runs:
    """Runs programs on the engines, each round with a new database."""

    def __init__(self, bench: Bench, postgres: str, redis: str) -> None:
        self._bench = bench
        self._postgres = postgres
        self._redis = redis
        self._number = itertools.count()

    def host(self, actor: str, full: int) -> Side:
        """Jobs run by the host's workers."""
        count = self._count(full)

        def measure() -> dict[str, float]:
            with self._place() as (made, url):
                program = _Program(
                    "host_postgres",
                    ["fill", str(made.file), actor, count],
                    ["drain", str(made.file)],
                )
                return self._drain(program, int(count), made.folder, made.env, url)

        return measure

    def bare(self, actor: str, full: int) -> Side:
        """The ledger's statements in loops, on jobs that the host enqueued."""
        count = self._count(full)

        def measure() -> dict[str, float]:
            with self._place() as (made, url):
                figures(
                    "host_postgres", ["fill", str(made.file), actor, count], made.folder, made.env
                )
                program = _Program("bare_psycopg", [], ["drain", url, actor])
                return self._drain(program, int(count), made.folder, made.env, url)

        return measure

    def other(self, name: str, full: int) -> Side:
        """Another library's workers."""
        count = self._count(full)

        def measure() -> dict[str, float]:
            with self._place() as (made, url):
                address = url if name == "procrastinate_postgres" else self._emptied_redis()
                program = _Program(
                    name, ["fill", address, count], ["drain", address, str(bare_psycopg.THREADS)]
                )
                return self._drain(program, int(count), made.folder, made.env, None)

        return measure

    def enqueue(self, program: str, command: str, full: int) -> Side:
        """Jobs enqueued by the host or by bare statements."""
        count = self._count(full)

        def measure() -> dict[str, float]:
            with self._place() as (made, url):
                where = str(made.file) if program == "host_postgres" else url
                return figures(program, [command, where, count], made.folder, made.env)

        return measure

    def _count(self, full: int) -> str:
        return str(self._bench.scaled(full, full // 10))

    def _emptied_redis(self) -> str:
        from redis import Redis

        with Redis.from_url(self._redis) as client:
            client.flushall()
        return self._redis

    @contextmanager
    def _place(self) -> Iterator[tuple[Place, str]]:
        """Create a migrated database and a deployment for it; remove both afterwards."""
        name = f"bench_{next(self._number)}"
        url = urlunsplit(urlsplit(self._postgres)._replace(path=f"/{name}"))
        folder = self._bench.folder / name
        made = place(
            folder,
            {"bench-actors": "benchmarks.programs.plugin:durable"},
            ["postgres"],
            postgres={"url": url},
            log={"level": "warning"},
        )
        _execute(self._postgres, f"CREATE DATABASE {name}")
        try:
            migrate(made)
            _execute(url, "CREATE TABLE effects (id BIGINT GENERATED ALWAYS AS IDENTITY"
                          " PRIMARY KEY, number BIGINT NOT NULL)")  # fmt: skip
            yield made, url
        finally:
            _execute(self._postgres, f"DROP DATABASE {name} WITH (FORCE)")

    def _drain(
        self,
        program: _Program,
        count: int,
        folder: Path,
        env: Mapping[str, str],
        ledger: str | None,
    ) -> dict[str, float]:
        """Enqueue jobs, then let the processes run them all; return jobs per second.

        Args:
            ledger: the database whose job rows must be completed too; None to only count runs.
        """
        module = f"benchmarks.programs.{program.name}"
        if program.fill:
            finish(["-m", module, *program.fill], folder, env)
        if ledger is not None:
            # Autovacuum would do the same at an arbitrary time.
            _execute(ledger, "VACUUM ANALYZE")
        _execute(self._postgres, "CHECKPOINT")
        tally = Tally(folder / "tally")
        with ExitStack() as stack:
            for slot in range(PROCESSES):
                arguments = ["-m", module, *program.drain, str(folder / "tally"), str(slot)]
                child = Child(arguments, folder, env)
                stack.callback(child.stop)
            tally.await_ready(PROCESSES)
            tally.begin()
            tally.await_total(int(count * WARM))
            first, began = tally.total, time.perf_counter()
            tally.await_total(count)
            if ledger is not None:
                _await_completed(ledger)
            return {"drain": (count - first) / (time.perf_counter() - began)}


@contextmanager
def _sides(bench: Bench) -> Iterator[dict[str, tuple[Side, Side]]]:
    try:
        with services.start("postgres") as postgres, services.start("redis") as redis:
            runs = _Runs(bench, postgres.url, redis.url)
            plain = runs.host("nothing", PLAIN)
            yield {
                "dramatiq": (plain, runs.other("dramatiq_redis", DRAMATIQ)),
                "loop": (plain, runs.bare("nothing", PLAIN)),
                "celery": (plain, runs.other("celery_redis", CELERY)),
                "procrastinate": (plain, runs.other("procrastinate_postgres", PROCRASTINATE)),
                "effects": (runs.host("effect", EFFECTS), runs.bare("effect", EFFECTS)),
                "single": (
                    runs.enqueue("host_postgres", "enqueue", SINGLE),
                    runs.enqueue("bare_psycopg", "enqueue", SINGLE),
                ),
                "bulk": (
                    runs.enqueue("host_postgres", "bulk", PLAIN),
                    runs.enqueue("bare_psycopg", "bulk", PLAIN),
                ),
            }
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing


def _execute(url: str, sql: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)


def _await_completed(url: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_UNFINISHED)
            while cursor.fetchone():
                time.sleep(0.001)
                cursor.execute(_UNFINISHED)
