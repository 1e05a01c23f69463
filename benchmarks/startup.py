"""Time from the start of the command to the supervisor's word that all is ready."""

from __future__ import annotations

import time

from benchmarks import embedded, quiet
from benchmarks.model import Bench, Figure, Goal

#: What is started: (words, role or empty for all, a new database each time, goal).
_KINDS = (
    ("all plugins, all roles", "", False, Goal(most=1.0)),
    ("all plugins, all roles, new database", "", True, None),
    ("all plugins, role http alone", "http", False, None),
    ("all plugins, role worker alone", "worker", False, None),
)


def run(bench: Bench) -> list[Figure]:
    """Start deployments in turns; a first start fills the caches and is not counted."""
    step = bench.begin(bench.rounds * len(_KINDS), "startup")
    seconds: list[list[float]] = [[] for _ in _KINDS]
    quiets: list[list[bool]] = [[] for _ in _KINDS]
    folder = bench.folder / "startup"
    with embedded.started(folder):
        pass
    for number in range(bench.rounds):
        for at, (_, role, new, _) in enumerate(_KINDS):
            still = quiet.await_still(bench.patience)
            began = time.perf_counter()
            with embedded.started(bench.folder / f"startup-{number}" if new else folder, role=role):
                seconds[at].append(time.perf_counter() - began)
            quiets[at].append(still)
            step()
    return [
        Figure(
            benchmark="startup",
            what=f"ready: {what}",
            unit="s",
            ours=seconds[at],
            quiet=quiets[at],
            goal=goal,
        )
        for at, (what, _, _, goal) in enumerate(_KINDS)
    ]
