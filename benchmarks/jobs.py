"""Durable jobs on SQLite, beside a bare ``sqlite3`` loop of the same statements."""

from __future__ import annotations

from benchmarks.children import figures
from benchmarks.ephemeral import worker_place
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Side, interleave

#: Jobs of one round: enqueued one by one, and worked off with and without an effect.
SINGLE, PLAIN, EFFECTS = 1000, 10_000, 3000

#: Durable jobs a second that are wanted.
WANTED = Goal(least=2000)


def run(bench: Bench) -> list[Figure]:
    """Enqueue jobs, then work them off; a fresh process and file each round."""
    counts = [str(bench.scaled(count, count // 10)) for count in (SINGLE, PLAIN, EFFECTS)]
    rounds = interleave(
        _side(bench, "host_jobs", counts),
        _side(bench, "bare_sqlite", counts),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "jobs"),
        patience=bench.patience,
    )
    figures_ = []
    for key, what, goal in (
        ("plain", "durable jobs run, nothing in them", Goal(least=0.6)),
        ("effects", "durable jobs run, one effect row each", Goal(least=0.6)),
        ("single", "durable jobs enqueued, one a transaction", None),
    ):
        ours, bare, quiet = rounds.ours[key], rounds.bare[key], rounds.quiet
        figures_.append(
            Figure(
                benchmark="jobs", what=what, unit="/s", ours=ours, bare=bare, quiet=quiet, goal=goal
            )
        )
        if goal is not None:
            figures_.append(
                Figure(benchmark="jobs", what=what, unit="/s", ours=ours, quiet=quiet, goal=WANTED)
            )
    return figures_


def _side(bench: Bench, program: str, counts: list[str]) -> Side:
    number = iter(range(1_000_000))

    def measure() -> dict[str, float]:
        made = worker_place(bench, f"{program}-{next(number)}")
        return figures(program, [str(made.file), *counts], made.folder, made.env)

    return measure
