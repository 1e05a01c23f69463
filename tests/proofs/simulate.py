"""Simulation finds errors that sequential tests miss, and gives no false alarms."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

from rolehost_testing.simulation.seeds import SEED

from contrib.testing.tests.simulation.faulty_plugins import FAULTY_PLUGINS
from contrib.testing.tests.simulation.limit_mutations import KEY_MUTATIONS, LIMIT_MUTATIONS
from contrib.testing.tests.simulation.mutations import MUTATIONS
from tests.proofs import simulate_runs
from tests.proofs.kit import ROOT, Figures, Options
from tests.proofs.simulate_runs import Found

PROMISE = (
    "Simulation finds 13 seeded errors in example plugins, each with a seed that replays to the"
    " same trace in processes of other hash seeds, and 32 mutations of the host, 13 of them of"
    " limits, partitions, keys and groups. The correct plugins and the unchanged host pass with the"
    " same seeds, 10,000 seeds with limits and keys pass, and 10,000 seeds of the webhooks plugins"
    " pass in under 5 minutes on two cores"
)
DURATION = "about 16 min; --short: 40 s"
GROUPED = True

#: Maximum number of seeds to find an error or a mutation. The rarest is in one run of 80.
SEARCH = 1000
#: Seeds for each right variant, the host, limits, and the flagship, in a full and a short run.
RIGHT, RIGHT_SHORT = 200, 5
HOST, HOST_SHORT = 1000, 20
LIMITS, LIMITS_SHORT = 10_000, 20
FLAGSHIP, FLAGSHIP_SHORT = 10_000, 100
#: Runs of limits or of the flagship in one task of a process.
PORTION = 100
#: Maximum seconds for 10,000 seeds of the flagship.
BOUND = 300.0


def prove(options: Options) -> Figures:
    """Find errors and mutations, replay them, then run all the rest without a violation."""
    first = options.seed % 1_000_000_000
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = _search(pool, options, first)
        replayed = _replay(
            {each.name: each.seed or 0 for each in found[: len(FAULTY_PLUGINS)]}, found
        )
        runs = _no_false_alarm(pool, options, first)
        limits = _limits(pool, options, first)
        count, seconds = _flagship(pool, options, first)
    mutants = found[len(FAULTY_PLUGINS) :]
    return {
        "faulty_plugins": len(FAULTY_PLUGINS),
        "faulty_plugins_seeds": max(each.runs for each in found[: len(FAULTY_PLUGINS)]),
        "replayed": replayed,
        "mutations": len(mutants),
        "mutations_seeds": max(each.runs for each in mutants),
        "right_runs": runs,
        "limits_seeds": limits,
        "flagship_seeds": count,
        "flagship_seconds": round(seconds, 1),
        "seeds_per_second": round(count / seconds, 1),
    }


def _search(pool: ProcessPoolExecutor, options: Options, first: int) -> list[Found]:
    """Find every error, then every mutation, in order."""
    names = [each.__name__ for each in FAULTY_PLUGINS]
    mutants = [each.__name__ for each in (*MUTATIONS, *LIMIT_MUTATIONS, *KEY_MUTATIONS)]
    task = options.progress(len(names) + len(mutants), "faulty plugins and mutations")
    submit = pool.submit
    waiting = [submit(simulate_runs.faulty_plugin, each, False, first, SEARCH) for each in names]
    waiting += [submit(simulate_runs.mutation, each, first, SEARCH) for each in mutants]
    for future in as_completed(waiting):
        task.advance()
        each = future.result()
        assert each.seed is not None, f"{each.name} was not found within {SEARCH} seeds"
    return [future.result() for future in waiting]


def _replay(asked: dict[str, int], found: list[Found]) -> int:
    """Repeat the found runs in two other processes; return the number of equal digests."""
    wanted = {each.name: each.digest for each in found if each.name in asked}
    for hash_seed in ("1", "4321"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.proofs.simulate_runs"],
            input=json.dumps(asked),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        got = json.loads(done.stdout)
        for name, digest in wanted.items():
            assert got[name] == digest, f"{name}: seed {asked[name]} made {got[name]}, {digest}"
    return len(wanted)


def _no_false_alarm(pool: ProcessPoolExecutor, options: Options, first: int) -> int:
    """Run the right variants and the host without a violation; return the number of runs."""
    right = RIGHT_SHORT if options.short else RIGHT
    host = HOST_SHORT if options.short else HOST
    waiting = [
        pool.submit(simulate_runs.faulty_plugin, each.__name__, True, first, right)
        for each in FAULTY_PLUGINS
    ]
    half = host // 2
    waiting += [
        pool.submit(simulate_runs.whole, start, half, options.grouped)
        for start in (first, first + half)
    ]
    return _all_hold(options, waiting, "right variants and the host")


def _limits(pool: ProcessPoolExecutor, options: Options, first: int) -> int:
    """Run limits without a violation, half in groups, half with keys alone; return the seeds."""
    count = LIMITS_SHORT if options.short else LIMITS
    portion = min(PORTION, count // 4)
    waiting = [
        pool.submit(
            simulate_runs.limits,
            first + start,
            portion,
            options.grouped or index % 2 == 1,
            index % 4 > 1,
        )
        for index, start in enumerate(range(0, count, portion))
    ]
    return _all_hold(options, waiting, "limits")


def _flagship(pool: ProcessPoolExecutor, options: Options, first: int) -> tuple[int, float]:
    """Run the flagship without a violation; return seeds and seconds."""
    count = FLAGSHIP_SHORT if options.short else FLAGSHIP
    portion = min(PORTION, count // 2)
    began = time.monotonic()
    waiting = [
        pool.submit(simulate_runs.webhooks, start, portion, options.grouped)
        for start in range(first, first + count, portion)
    ]
    _all_hold(options, waiting, "flagship")
    seconds = time.monotonic() - began
    if not options.short:
        assert seconds < BOUND, f"{count} seeds of the flagship took {seconds:.0f} s"
    return count, seconds


def _all_hold(options: Options, waiting: list[Future[Found]], label: str) -> int:
    task: Any = options.progress(len(waiting), label)
    runs = 0
    for future in as_completed(waiting):
        each = future.result()
        assert each.seed is None, (
            f"{each.name}: {each.violation}\n{each.trace}\n{SEED}={each.seed}, trace {each.digest}"
        )
        runs += each.runs
        task.advance()
    return runs
