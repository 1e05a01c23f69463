"""Ephemeral actors compared with bare Dramatiq on the same broker, a SQLite file."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.children import figures
from benchmarks.deployments import Place, place
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Side, interleave

#: Messages of one round.
MESSAGES = 5000


def run(bench: Bench) -> list[Figure]:
    """Send messages one by one, then run them; a new process and file for each round."""
    count = bench.scaled(MESSAGES, 500)
    rounds = interleave(
        _side(bench, "host_ephemeral", count),
        _side(bench, "bare_dramatiq", count),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "ephemeral"),
        patience=bench.patience,
    )
    wanted: Mapping[str, tuple[str, str, bool, Goal | None]] = {
        "sent": ("ephemeral messages sent", "/s", False, Goal(least=0.95)),
        "run": ("ephemeral messages run, 8 threads", "/s", False, Goal(least=0.95)),
        "cost": ("ephemeral message run", "µs CPU", True, None),
    }
    return [
        Figure(
            benchmark="ephemeral",
            what=what,
            unit=unit,
            ours=rounds.ours[key],
            bare=rounds.bare[key],
            quiet=rounds.quiet,
            inverse=inverse,
            goal=goal,
        )
        for key, (what, unit, inverse, goal) in wanted.items()
    ]


def worker_place(bench: Bench, name: str, **worker: int) -> Place:
    """Write a deployment with the actors of :mod:`benchmarks.programs.plugin`."""
    folder = bench.folder / name
    return place(
        folder,
        {"bench-actors": "benchmarks.programs.plugin:actors"},
        ["embedded"],
        embedded={"path": str(folder / "bench.db")},
        worker=worker,
        log={"level": "warning"},
    )


def _side(bench: Bench, program: str, count: int) -> Side:
    number = iter(range(1_000_000))

    def measure() -> dict[str, float]:
        made = worker_place(bench, f"{program}-{next(number)}")
        return figures(program, [str(made.file), str(count)], made.folder, made.env)

    return measure
