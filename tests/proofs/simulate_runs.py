"""What the processes of the proof ``simulate`` do: many runs each, of one simulation.

``python -m tests.proofs.simulate_runs`` reads names of mistakes with their seeds from standard
input and prints the digests of the runs: what another process makes of the same seeds.
"""

from __future__ import annotations

import functools
import gc
import json
import sys
from contextlib import closing
from typing import NamedTuple

from rolehost_testing.simulation import Simulation

from contrib.testing.tests.simulation import ledgerbook
from contrib.testing.tests.simulation.mistakes import MISTAKES
from contrib.testing.tests.simulation.mutations import MUTATIONS

#: Steps of a run of the flagship.
STEPS = 50


class Found(NamedTuple):
    """What came of some runs.

    Attributes:
        name: of what was run.
        runs: how many.
        seed: the first for which something was violated; None when all held.
        violation: what was violated.
        digest: of that run's trace.
        trace: its last lines.
    """

    name: str
    runs: int
    seed: int | None = None
    violation: str = ""
    digest: str = ""
    trace: str = ""


def search(name: str, simulation: Simulation, first: int, count: int, steps: int = 200) -> Found:
    """Run until something is violated, ``count`` times at most."""
    for seed in range(first, first + count):
        run = simulation.run(seed, steps)
        if run.violation is not None:
            lines = run.trace.text(40)
            return Found(name, seed - first + 1, seed, run.violation, run.digest, lines)
    return Found(name, count)


def mistake(name: str, right: bool, first: int, count: int) -> Found:
    """Run an example plugin, wrong or right."""
    make = next(each for each in MISTAKES if each.__name__ == name)
    with closing(make(right=right).simulation()) as simulation:
        return search(name, simulation, first, count)


def mutation(name: str, first: int, count: int) -> Found:
    """Run the host's own plugin over a broken host."""
    mutate = next(each for each in MUTATIONS if each.__name__ == name)
    with mutate(), closing(ledgerbook_simulation()) as simulation:
        return search(name, simulation, first, count)


def whole(first: int, count: int) -> Found:
    """Run the host's own plugin over the host as it is."""
    with closing(ledgerbook_simulation()) as simulation:
        return search("host", simulation, first, count)


def webhooks(first: int, count: int) -> Found:
    """Run the flagship."""
    return search("flagship", _flagship(), first, count, STEPS)


@functools.cache
def _flagship() -> Simulation:
    """Return this process's simulation of the flagship, which takes a second to make."""
    # Imported here: the others need none of its distribution.
    from contrib.testing.tests.simulation.flagship import flagship

    simulation = flagship()
    simulation.run(0, STEPS)
    # What is there now stays: the collector need not look at it again.
    gc.freeze()
    return simulation


def ledgerbook_simulation() -> Simulation:
    """Return a simulation of the host's own plugin."""
    return Simulation(
        [ledgerbook],
        actions=ledgerbook.ACTIONS,
        invariants=[ledgerbook.one_of_its_kind],
        eventually=[ledgerbook.all_written],
    )


def main() -> None:
    """Print the digests of the runs that are asked for."""
    asked: dict[str, int] = json.load(sys.stdin)
    print(json.dumps({name: mistake(name, False, seed, 1).digest for name, seed in asked.items()}))


if __name__ == "__main__":
    main()
