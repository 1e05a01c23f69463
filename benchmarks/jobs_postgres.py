"""Durable jobs on PostgreSQL, compared with Dramatiq, Celery and procrastinate.

The jobs to run are enqueued in bulk first. Every side has the same number of processes and
threads. See :mod:`benchmarks.ledger` for the comparison with bare statements.
"""

from __future__ import annotations

from rolehost_testing import services

from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Side, interleave
from benchmarks.postgres import Program, Runs, server
from benchmarks.programs.frozen import THREADS

#: Jobs of one round.
PLAIN, DRAMATIQ, CELERY, PROCRASTINATE = 30_000, 10_000, 4000, 1500

#: The other libraries: a program, its jobs, a description, the goal.
_OTHERS: tuple[tuple[str, int, str, Goal | None], ...] = (
    ("dramatiq_redis", DRAMATIQ, "beside Dramatiq on Redis", Goal(least=2)),
    ("celery_redis", CELERY, "beside Celery on Redis", None),
    ("procrastinate_postgres", PROCRASTINATE, "beside procrastinate", None),
)


def run(bench: Bench) -> list[Figure]:
    """Measure each pair in turns, on separate servers."""
    figures = []
    try:
        with server() as postgres, services.start("redis") as redis:
            runs = Runs(bench, postgres)
            for name, count, what, goal in _OTHERS:
                rounds = interleave(
                    runs.host("nothing", PLAIN),
                    _other(runs, name, runs.count(count), redis.url),
                    rounds=bench.rounds,
                    step=bench.begin(bench.rounds, f"jobs-postgres: {name}"),
                    patience=bench.patience,
                )
                figures.append(
                    Figure(
                        benchmark="jobs-postgres",
                        what=f"PostgreSQL: no-op jobs run, {what}",
                        unit="/s",
                        ours=rounds.ours["drain"],
                        bare=rounds.bare["drain"],
                        quiet=rounds.quiet,
                        goal=goal,
                    )
                )
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing
    return figures


def _other(runs: Runs, name: str, count: str, redis: str) -> Side:
    def measure() -> dict[str, float]:
        with runs.database() as url:
            address = url if name == "procrastinate_postgres" else _emptied(redis)
            program = Program(name, ["fill", address, count], ["drain", address, str(THREADS)])
            return runs.drain(program, int(count), runs.undeployed(url), None)

    return measure


def _emptied(redis: str) -> str:
    from redis import Redis

    with Redis.from_url(redis) as client:
        client.flushall()
    return redis
