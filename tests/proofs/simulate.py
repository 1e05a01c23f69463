"""Simulation finds what tests of one call after the other do not, and alarms nobody falsely."""

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

from contrib.testing.tests.simulation.mistakes import MISTAKES
from contrib.testing.tests.simulation.mutations import MUTATIONS
from tests.proofs import simulate_runs
from tests.proofs.kit import ROOT, Figures, Options
from tests.proofs.simulate_runs import Found

PROMISE = (
    "Simulation finds 13 seeded mistakes in example plugins, each with a seed that replays to the"
    " same trace in processes of other hash seeds, and 13 mutations of the host; the right"
    " variants and the host hold over the same seeds; 10,000 seeds of the flagship hold in"
    " under 5 minutes on two cores"
)
DURATION = "about 6 min; --short: 35 s"

#: Seeds within which a mistake or a mutation must be found.
SEARCH = 400
#: Seeds of each right variant, of the host, and of the flagship: all of it, and a short run.
RIGHT, RIGHT_SHORT = 200, 5
HOST, HOST_SHORT = 1000, 20
FLAGSHIP, FLAGSHIP_SHORT = 10_000, 100
#: Runs of the flagship that one process is given at a time.
PORTION = 100
#: Seconds that 10,000 seeds of the flagship may take.
BOUND = 300.0
#: Mutations that take long to find, and are left out of a short run.
RARE = {"commit_offsets_over_gaps"}


def prove(options: Options) -> Figures:
    """Look for mistakes and mutations, replay what was found, then let the flagship hold."""
    first = options.seed % 1_000_000_000
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = _search(pool, options, first)
        replayed = _replay({each.name: each.seed or 0 for each in found[: len(MISTAKES)]}, found)
        runs = _no_false_alarm(pool, options, first)
        count, seconds = _flagship(pool, options, first)
    mutants = found[len(MISTAKES) :]
    return {
        "mistakes": len(MISTAKES),
        "mistakes_seeds": max(each.runs for each in found[: len(MISTAKES)]),
        "replayed": replayed,
        "mutations": len(mutants),
        "mutations_seeds": max(each.runs for each in mutants),
        "right_runs": runs,
        "flagship_seeds": count,
        "flagship_seconds": round(seconds, 1),
        "seeds_per_second": round(count / seconds, 1),
    }


def _search(pool: ProcessPoolExecutor, options: Options, first: int) -> list[Found]:
    """Find every mistake, then every mutation; in their order."""
    names = [each.__name__ for each in MISTAKES]
    mutants = [each.__name__ for each in MUTATIONS if not (options.short and each.__name__ in RARE)]
    task = options.progress(len(names) + len(mutants), "mistakes and mutations")
    submit = pool.submit
    waiting = [submit(simulate_runs.mistake, each, False, first, SEARCH) for each in names]
    waiting += [submit(simulate_runs.mutation, each, first, SEARCH) for each in mutants]
    for future in as_completed(waiting):
        task.advance()
        each = future.result()
        assert each.seed is not None, f"{each.name} was not found within {SEARCH} seeds"
    return [future.result() for future in waiting]


def _replay(asked: dict[str, int], found: list[Found]) -> int:
    """Run what was found in two other processes; return how many digests were the same."""
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
    """Let the right variants and the host hold; return how many runs that were."""
    right = RIGHT_SHORT if options.short else RIGHT
    host = HOST_SHORT if options.short else HOST
    waiting = [
        pool.submit(simulate_runs.mistake, each.__name__, True, first, right) for each in MISTAKES
    ]
    half = host // 2
    waiting += [pool.submit(simulate_runs.whole, start, half) for start in (first, first + half)]
    return _all_hold(options, waiting, "right variants and the host")


def _flagship(pool: ProcessPoolExecutor, options: Options, first: int) -> tuple[int, float]:
    """Let the flagship hold; return seeds and seconds."""
    count = FLAGSHIP_SHORT if options.short else FLAGSHIP
    portion = min(PORTION, count // 2)
    began = time.monotonic()
    waiting = [
        pool.submit(simulate_runs.webhooks, start, portion)
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
