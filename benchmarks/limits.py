"""Jobs with limits and jobs in groups, on PostgreSQL and on SQLite."""

from __future__ import annotations

import itertools

from benchmarks.children import figures
from benchmarks.deployments import place
from benchmarks.ledger import EFFECTS, PLAIN, drained, pair
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Side, interleave
from benchmarks.postgres import ACTORS, Runs, server

#: The plugins with limits, and with groups.
LIMITED, GROUPED = "benchmarks.programs.limited:limits", "benchmarks.programs.grouped:groups"

#: Minimum rate of jobs per second with one effect row each, in groups.
WANTED = Goal(least=10_000)


def run(bench: Bench) -> list[Figure]:
    """Measure jobs with a concurrency limit for each partition, beside a bare loop without any."""
    what = "no-op jobs run, a limit for each of 100 partitions, beside a bare loop"
    with server() as url:
        runs = Runs(bench, url)
        ours, bare = runs.host("limited", PLAIN, LIMITED), runs.bare("nothing", PLAIN)
        return pair(bench, "limits", "partitions", ours, bare, drained(what, Goal(least=0.5)))


def groups(bench: Bench) -> list[Figure]:
    """Measure jobs that write one row each in groups, beside the same jobs alone."""
    with server() as url:
        runs = Runs(bench, url)
        sides = (runs.host("grouped", 4 * EFFECTS, GROUPED), runs.host("effect", EFFECTS))
        rounds = interleave(
            *sides,
            rounds=bench.rounds,
            step=bench.begin(bench.rounds, "groups: PostgreSQL"),
            patience=bench.patience,
        )
    found = [("PostgreSQL", rounds, "drain")]
    rounds = interleave(
        _sqlite(bench, "grouped", 4 * EFFECTS),
        _sqlite(bench, "effect", EFFECTS // 2),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "groups: SQLite"),
        patience=bench.patience,
    )
    found.append(("SQLite", rounds, "rate"))
    return [
        Figure(
            benchmark="groups",
            what=f"{name}: jobs run, one effect row each, in groups{beside}",
            unit="/s",
            ours=rounds.ours[sample],
            bare=rounds.bare[sample] if beside else (),
            quiet=rounds.quiet,
            goal=None if beside else WANTED,
        )
        for name, rounds, sample in found
        for beside in ("", ", beside the same alone")
    ]


def _sqlite(bench: Bench, actor: str, full: int) -> Side:
    numbers = itertools.count()
    count = str(bench.scaled(full, full // 10))

    def measure() -> dict[str, float]:
        folder = bench.folder / f"groups-{actor}-{next(numbers)}"
        made = place(
            folder,
            {"bench-actors": GROUPED if actor == "grouped" else ACTORS},
            ["embedded"],
            embedded={"path": str(folder / "bench.db"), "synchronous": "full"},
            log={"level": "warning"},
        )
        return figures("host_jobs", [str(made.file), actor, count], made.folder, made.env)

    return measure
