"""The child processes of the proof ``simulate``: each does many runs of one simulation.

``python -m tests.proofs.simulate_runs`` reads names of examples with their seeds from standard
input and prints the digests of the runs, to compare them with another process.
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
from contrib.testing.tests.simulation.faulty_plugins import FAULTY_PLUGINS
from contrib.testing.tests.simulation.mutations import MUTATIONS

#: Steps of a run of the flagship.
STEPS = 50


class Found(NamedTuple):
    """The result of some runs.

    Attributes:
        name: name of the simulation.
        runs: number of runs.
        seed: the first seed with a violation; None if there was none.
        violation: the violated invariant.
        digest: digest of that run's trace.
        trace: the last lines of the trace.
    """

    name: str
    runs: int
    seed: int | None = None
    violation: str = ""
    digest: str = ""
    trace: str = ""


def search(name: str, simulation: Simulation, first: int, count: int, steps: int = 200) -> Found:
    """Run until there is a violation, at most ``count`` times."""
    for seed in range(first, first + count):
        run = simulation.run(seed, steps)
        if run.violation is not None:
            lines = run.trace.text(40)
            return Found(name, seed - first + 1, seed, run.violation, run.digest, lines)
    return Found(name, count)


def faulty_plugin(name: str, right: bool, first: int, count: int) -> Found:
    """Run an example plugin, wrong or right."""
    make = next(each for each in FAULTY_PLUGINS if each.__name__ == name)
    with closing(make(right=right).simulation()) as simulation:
        return search(name, simulation, first, count)


def mutation(name: str, first: int, count: int) -> Found:
    """Run the host's example plugin on a broken host."""
    mutate = next(each for each in MUTATIONS if each.__name__ == name)
    with mutate(), closing(ledgerbook_simulation()) as simulation:
        return search(name, simulation, first, count)


def whole(first: int, count: int) -> Found:
    """Run the host's example plugin on the unchanged host."""
    with closing(ledgerbook_simulation()) as simulation:
        return search("host", simulation, first, count)


def webhooks(first: int, count: int) -> Found:
    """Run the flagship."""
    return search("flagship", _flagship(), first, count, STEPS)


@functools.cache
def _flagship() -> Simulation:
    """Return this process's simulation of the flagship; creating it takes a second."""
    # Imported here because the other simulations do not need this distribution.
    from contrib.testing.tests.simulation.flagship import flagship

    simulation = flagship()
    simulation.run(0, STEPS)
    # The existing objects stay alive, so the garbage collector need not scan them again.
    gc.freeze()
    return simulation


def ledgerbook_simulation() -> Simulation:
    """Return a simulation of the host's example plugin."""
    return Simulation(
        [ledgerbook],
        actions=ledgerbook.ACTIONS,
        invariants=[ledgerbook.one_of_its_kind, ledgerbook.shared_once],
        eventually=[ledgerbook.all_written],
    )


def main() -> None:
    """Print the digests of the requested runs."""
    asked: dict[str, int] = json.load(sys.stdin)
    print(
        json.dumps(
            {name: faulty_plugin(name, False, seed, 1).digest for name, seed in asked.items()}
        )
    )


if __name__ == "__main__":
    main()
