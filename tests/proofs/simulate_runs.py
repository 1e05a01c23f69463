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
from typing import Any, NamedTuple

from rolehost_testing.simulation import Simulation

from contrib.testing.tests.simulation import ledgerbook
from contrib.testing.tests.simulation.faulty_plugins import FAULTY_PLUGINS
from contrib.testing.tests.simulation.limit_mutations import KEY_MUTATIONS, LIMIT_MUTATIONS
from contrib.testing.tests.simulation.limited import KEYS, MIXED, limited_simulation
from contrib.testing.tests.simulation.mutations import MUTATIONS

#: Steps of a run of the flagship, and of limits.
STEPS, LIMITED_STEPS = 50, 150


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
    """Run the example plugin of the host, or of limits, on a broken host."""
    known = (*MUTATIONS, *LIMIT_MUTATIONS, *KEY_MUTATIONS)
    mutate = next(each for each in known if each.__name__ == name)
    with mutate(), closing(_simulation_for(mutate)) as simulation:
        return search(name, simulation, first, count)


def _simulation_for(mutate: Any) -> Simulation:
    """Return the simulation that finds a mutation."""
    if mutate in KEY_MUTATIONS:
        return limited_simulation(KEYS)
    if mutate in LIMIT_MUTATIONS:
        return limited_simulation(grouped=True)  # some limits are only broken in groups
    return ledgerbook_simulation()


def whole(first: int, count: int, grouped: bool) -> Found:
    """Run the host's example plugin on the unchanged host."""
    with closing(ledgerbook_simulation(grouped=grouped)) as simulation:
        return search("host", simulation, first, count)


def limits(first: int, count: int, grouped: bool, keys: bool) -> Found:
    """Run the example plugin of limits, or its keys alone, on the unchanged host."""
    name = "keys" if keys else "limits"
    return search(name, _limited(grouped, keys), first, count, LIMITED_STEPS)


def webhooks(first: int, count: int, grouped: bool) -> Found:
    """Run the flagship."""
    return search("flagship", _flagship(grouped), first, count, STEPS)


@functools.cache
def _limited(grouped: bool, keys: bool) -> Simulation:
    """Return this process's simulation of limits, or of keys."""
    return limited_simulation(KEYS if keys else MIXED, grouped=grouped)


@functools.cache
def _flagship(grouped: bool) -> Simulation:
    """Return this process's simulation of the flagship; creating it takes a second."""
    # Imported here because the other simulations do not need this distribution.
    from contrib.testing.tests.simulation.flagship import flagship

    simulation = flagship(grouped=grouped)
    simulation.run(0, STEPS)
    # The existing objects stay alive, so the garbage collector need not scan them again.
    gc.freeze()
    return simulation


def ledgerbook_simulation(*, grouped: bool = False) -> Simulation:
    """Return a simulation of the host's example plugin."""
    return Simulation(
        [ledgerbook],
        actions=ledgerbook.ACTIONS,
        invariants=[ledgerbook.one_of_its_kind, ledgerbook.shared_once],
        eventually=[ledgerbook.all_written],
        grouped=grouped,
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
