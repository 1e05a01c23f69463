"""The start time of a deployment until it is ready, and the run time of whole commands."""

from __future__ import annotations

import time

from benchmarks import embedded, quiet
from benchmarks.children import finish
from benchmarks.model import Bench, Figure, Goal

#: The starts: (description, role or empty for all, whether each has a new database, goal).
_KINDS = (
    ("all plugins, all roles", "", False, Goal(most=1.0)),
    ("all plugins, all roles, new database", "", True, None),
    ("all plugins, role http alone", "http", False, None),
    ("all plugins, role worker alone", "worker", False, None),
)


def run(bench: Bench) -> list[Figure]:
    """Start deployments in turns; the first start fills the caches and does not count."""
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


#: Commands to time, and the maximum seconds of the whole process.
_COMMANDS = {
    "--help": 0.2,
    "plugins": 0.35,
    "commands": 0.35,
    "routes": 0.35,
    "actors": 0.35,
    "handlers": 0.35,
    "schedules": 0.35,
    "settings": 0.35,
    "failpoints": 0.35,
    "jobs list": 0.35,
    "dead list": 0.35,
    "check": None,
}

#: Minimum number of runs of each command.
_TIMES = 10


def commands(bench: Bench) -> list[Figure]:
    """Run the commands in turns on ``deploy/embedded.toml``; the first run does not count."""
    rounds = bench.rounds if bench.short else max(_TIMES, bench.rounds)
    step = bench.begin(rounds * len(_COMMANDS), "commands")
    folder = bench.folder / "commands"
    env = embedded.environment_of(folder) | {"ROLEHOST_DEPLOYMENT": str(embedded.FILE)}

    def run_once(words: str) -> float:
        began = time.perf_counter()
        finish(["-m", "rolehost", *words.split()], folder, env)
        return time.perf_counter() - began

    run_once("migrate up")
    for words in _COMMANDS:
        run_once(words)
    seconds: dict[str, list[float]] = {words: [] for words in _COMMANDS}
    quiets: list[bool] = []
    for _ in range(rounds):
        quiets.append(quiet.await_still(bench.patience))
        for words in _COMMANDS:
            seconds[words].append(run_once(words))
            step()
    return [
        Figure(
            benchmark="commands",
            what=f"rolehost {words}, the whole process",
            unit="s",
            ours=seconds[words],
            quiet=quiets,
            goal=Goal(most=most) if most else None,
        )
        for words, most in _COMMANDS.items()
    ]
