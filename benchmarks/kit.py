"""The testing kit: the cost of a separate host for each test."""

from __future__ import annotations

from benchmarks.children import figures
from benchmarks.deployments import environment
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Side, interleave

#: Requests and jobs of one round.
COUNT = 1000


def run(bench: Bench) -> list[Figure]:
    """Start hosts, send requests and drain jobs, each in one process and thread."""
    count = bench.scaled(COUNT, COUNT // 10)
    rounds = interleave(
        _side(bench, "host_kit", count),
        _side(bench, "bare_testing", count),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "kit"),
        patience=bench.patience,
    )
    quiet = rounds.quiet
    return [
        Figure(
            benchmark="kit",
            what="a host with one of each contribution: start and end",
            unit="ms",
            ours=rounds.ours["start"],
            quiet=quiet,
            goal=Goal(most=10.0),
        ),
        Figure(
            benchmark="kit",
            what="request in the process of a test, beside falcon.testing",
            unit="/s",
            ours=rounds.ours["request"],
            bare=rounds.bare["request"],
            quiet=quiet,
            goal=Goal(least=1.0),
        ),
        Figure(
            benchmark="kit",
            what="durable job enqueued and drained",
            unit="/s",
            ours=rounds.ours["job"],
            quiet=quiet,
        ),
    ]


def _side(bench: Bench, program: str, count: int) -> Side:
    return lambda: figures(program, [str(count)], bench.folder, environment(bench.folder))
