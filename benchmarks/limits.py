"""Jobs with limits and jobs in groups, on PostgreSQL and on SQLite."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from benchmarks.children import figures
from benchmarks.deployments import place
from benchmarks.ledger import EFFECTS, PLAIN, drained, pair
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Rounds, Side, interleave
from benchmarks.postgres import ACTORS, Runs, server

#: The plugins with limits, and with groups.
LIMITED, GROUPED = "benchmarks.programs.limited:limits", "benchmarks.programs.grouped:groups"

#: Minimum rate of jobs per second with one effect row each, in groups.
WANTED = Goal(least=10_000)


def run(bench: Bench) -> list[Figure]:
    """Measure jobs with a concurrency limit for each partition, beside a bare loop without any."""
    what = "no-op jobs run, a limit for each of 1,000 partitions, beside a bare loop"
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
    found = _grouped("PostgreSQL", rounds, "drain", "total")
    rounds = interleave(
        _sqlite(bench, "grouped", 4 * EFFECTS),
        _sqlite(bench, "effect", EFFECTS // 2),
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, "groups: SQLite"),
        patience=bench.patience,
    )
    return found + _grouped("SQLite", rounds, "rate", "rate_cost")


def _grouped(engine: str, rounds: Rounds, rate: str, cost: str) -> list[Figure]:
    """Return the figures of an engine from the samples with these names."""
    alone = "beside the same alone"
    shown: Sequence[tuple[str, str, bool, Goal | None]] = (
        ("in groups", rate, False, WANTED),
        (f"in groups, {alone}", rate, True, None),
        (f"in groups, {alone}: processes, sessions", cost, True, None),
    )
    return [
        Figure(
            benchmark="groups",
            what=f"{engine}: jobs run, one effect row each, {what}",
            unit="µs CPU" if sample == cost else "/s",
            ours=rounds.ours[sample],
            bare=rounds.bare[sample] if compared else (),
            quiet=rounds.quiet,
            inverse=sample == cost,
            goal=goal,
        )
        for what, sample, compared, goal in shown
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
