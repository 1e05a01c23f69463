"""Durable jobs on PostgreSQL, compared with the ledger's statements of commit 991056b in loops."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Rounds, Side, interleave
from benchmarks.postgres import Runs, server

#: Jobs of one round: run without an effect (for two seconds), run with one effect row, enqueued.
PLAIN, EFFECTS, SINGLE = 100_000, 5000, 8000

#: The figures of a pair: a description, the name of the samples, unit, goal.
Shown = Sequence[tuple[str, str, str, Goal | None]]


def drained(what: str, goal: Goal | None) -> Shown:
    """Return the figures of a pair that runs jobs: its rate, the processor time of a job.

    The goal is for both. On a busy machine the bare loops get more of the processors than the host,
    because they have more running sessions; then the processor time tells.
    """
    return (
        (what, "drain", "/s", goal),
        (f"{what}: processes", "cost", "µs CPU", None),
        (f"{what}: processes, sessions", "total", "µs CPU", goal),
    )


_PAIRS: dict[str, Shown] = {
    "loop": drained("no-op jobs run, beside a bare loop", Goal(least=0.9)),
    "effects": drained("jobs run, one effect row each", Goal(least=0.9)),
    "single": (("jobs enqueued, one a transaction, 8 threads", "single", "/s", Goal(least=0.85)),),
    "bulk": (("jobs enqueued in bulk", "bulk", "/s", None),),
}


def run(bench: Bench) -> list[Figure]:
    """Measure each pair in turns."""
    figures = []
    with server() as url:
        runs = Runs(bench, url)
        plain = runs.count(PLAIN)
        sides: dict[str, tuple[Side, Side]] = {
            "loop": (runs.host("nothing", PLAIN), runs.bare("nothing", PLAIN)),
            "effects": (runs.host("effect", EFFECTS), runs.bare("effect", EFFECTS)),
            "single": (
                runs.host_enqueues("enqueue", runs.count(SINGLE)),
                runs.bare_enqueues("enqueue", runs.count(SINGLE)),
            ),
            "bulk": (
                runs.host_enqueues("fill", "nothing", plain),
                runs.bare_enqueues("fill", "nothing", plain),
            ),
        }
        for name, (ours, bare) in sides.items():
            figures += pair(bench, "ledger", name, ours, bare, _PAIRS[name])
    return figures


def pair(
    bench: Bench, benchmark: str, name: str, ours: Side, bare: Side, shown: Shown
) -> list[Figure]:
    """Measure one pair in turns; return its figures."""
    rounds: Rounds = interleave(
        ours,
        bare,
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, f"{benchmark}: {name}"),
        patience=bench.patience,
    )
    return [
        Figure(
            benchmark=benchmark,
            what=f"PostgreSQL: {what}",
            unit=unit,
            ours=rounds.ours[sample],
            bare=rounds.bare[sample],
            quiet=rounds.quiet,
            inverse=unit == "µs CPU",
            goal=goal,
        )
        for what, sample, unit, goal in shown
    ]
