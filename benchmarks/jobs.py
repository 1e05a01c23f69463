"""Durable jobs on SQLite, compared with the statements of commit 991056b in a ``sqlite3`` loop."""

from __future__ import annotations

from benchmarks.children import figures
from benchmarks.ephemeral import worker_place
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Side, interleave

#: Jobs of one round: enqueued one by one, run without an effect, run with an effect.
SINGLE, PLAIN, EFFECTS = 1000, 50_000, 3000

#: Minimum rate of durable jobs per second.
WANTED = Goal(least=2000)

#: Minimum ratio to the rate of the bare loop.
SHARE = Goal(least=0.6)

#: The figures: a description, the host's samples, the bare samples (empty if none), the goal.
_SHOWN = (
    ("durable jobs run, nothing in them", "plain", "plain", SHARE),
    ("durable jobs run, nothing in them", "plain", "", WANTED),
    ("durable jobs run, nothing in them", "plain_cost", "plain_cost", None),
    ("durable jobs, beside Dramatiq over memory", "plain", "memory", None),
    ("durable jobs run, one effect row each", "effects", "effects", SHARE),
    ("durable jobs run, one effect row each", "effects_cost", "effects_cost", None),
    ("durable jobs run, one effect row each", "effects", "", WANTED),
    ("durable jobs enqueued, one a transaction", "single", "single", None),
)


def run(bench: Bench) -> list[Figure]:
    """Enqueue jobs, then run them; a new process and file for each round."""
    counts = [str(bench.scaled(count, count // 10)) for count in (SINGLE, PLAIN, EFFECTS)]
    rounds = interleave(
        _host(bench, counts),
        _bare(bench, counts),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "jobs"),
        patience=bench.patience,
    )
    return [
        Figure(
            benchmark="jobs",
            what=what,
            unit="µs CPU" if ours.endswith("_cost") else "/s",
            ours=rounds.ours[ours],
            bare=rounds.bare[bare] if bare else (),
            quiet=rounds.quiet,
            inverse=ours.endswith("_cost"),
            goal=goal,
        )
        for what, ours, bare, goal in _SHOWN
    ]


def _host(bench: Bench, counts: list[str]) -> Side:
    number = iter(range(1_000_000))

    def measure() -> dict[str, float]:
        made = worker_place(bench, f"jobs-host-{next(number)}")
        return figures("host_jobs", [str(made.file), *counts], made.folder, made.env)

    return measure


def _bare(bench: Bench, counts: list[str]) -> Side:
    number = iter(range(1_000_000))

    def measure() -> dict[str, float]:
        made = worker_place(bench, f"jobs-bare-{next(number)}")
        memory = figures("bare_memory", [counts[1]], made.folder, made.env)
        database = str(made.folder / "bare.db")
        return {**memory, **figures("bare_sqlite", [database, *counts], made.folder, made.env)}

    return measure
