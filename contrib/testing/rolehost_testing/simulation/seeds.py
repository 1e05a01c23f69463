"""Run a simulation with many seeds, and report the seed that fails."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rolehost_testing.simulation.simulation import STEPS, Run, Simulation

#: Environment variable: the only seed to run.
SEED = "ROLEHOST_SEED"
#: Environment variable: the number of seeds to run, instead of the test's own.
SEEDS = "ROLEHOST_SEEDS"
#: Environment variable: the number of steps for the single seed, as shown in a failure.
FEWER = "ROLEHOST_STEPS"
#: Number of trace lines that a failure shows.
_SHOWN = 40


class SimulationFailed(AssertionError):
    """An invariant does not hold for a seed.

    Attributes:
        run: the failed run, with its trace.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(message(run))
        self.run = run


def message(run: Run) -> str:
    """Return the failure message of a run: the violation, the trace, and how to replay it."""
    shown = run.trace.text(_SHOWN)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = f"{SEED}={run.seed} {FEWER}={run.steps} python -m pytest {shlex.quote(test)}"
    if not test:
        command = f"simulate(…, seed={run.seed}, steps={run.steps})"
    return (
        f"{run.violation}\n\n{shown}\n\nseed {run.seed}, {run.steps} random steps,"
        f" trace {run.digest}; it can be replayed:\n  {command}"
    )


def simulate(
    plugins: Sequence[Any] | Simulation, *, seed: int, steps: int = STEPS, **options: Any
) -> Run:
    """Run plugins or deployments once with one seed.

    Args:
        plugins: see :class:`Simulation`; or an existing simulation, which is faster.
        seed: determines the whole run.
        steps: number of random steps; after them, the remaining work runs without faults.
        options: see :class:`Simulation`.

    Raises:
        SimulationFailed: an invariant does not hold; the message has the seed and how to replay.
    """
    if SEED in os.environ:
        steps = int(os.environ.get(FEWER, steps))
    if isinstance(plugins, Simulation):
        return _held(plugins, seed, steps)
    simulation = Simulation(plugins, **options)
    try:
        return _held(simulation, seed, steps)
    finally:
        simulation.close()


def fewest(simulation: Simulation, failed: Run) -> Run:
    """Return a run of the same seed that fails with fewer steps, or ``failed`` if there is none.

    A run with fewer steps has a shorter trace to read.
    """
    best, low = failed, 0
    last = failed.trace.entries[-1].step if failed.trace.entries else failed.steps
    high = min(failed.steps, last)
    while low < high:
        middle = (low + high) // 2
        run = simulation.run(failed.seed, middle)
        if run.violation is None:
            low = middle + 1
        else:
            best, high = run, middle
    return best


def hold(simulation: Simulation, seeds: Iterable[int], steps: int = STEPS) -> int:
    """Run a simulation with many seeds; return the number of seeds.

    Raises:
        SimulationFailed: an invariant does not hold for a seed; stops at the first one.
    """
    count = 0
    for seed in seeds:
        _held(simulation, seed, steps)
        count += 1
    return count


def for_seeds(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test that takes a ``seed``: run it with each seed from 0 to ``count`` - 1.

    In the environment, ``ROLEHOST_SEED=17`` runs only this seed, and ``ROLEHOST_SEEDS=10000``
    runs this number of seeds.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def every(*args: Any, **kwargs: Any) -> None:
            for seed in chosen(count):
                test(*args, seed=seed, **kwargs)

        # Otherwise pytest looks for a fixture named "seed".
        signature = inspect.signature(test)
        every.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[each for name, each in signature.parameters.items() if name != "seed"]
        )
        return every

    return decorate


def chosen(count: int) -> Iterable[int]:
    """Return the seeds to run: from the environment, or by default 0 to ``count`` - 1."""
    if SEED in os.environ:
        return [int(os.environ[SEED])]
    return range(int(os.environ.get(SEEDS, count)))


def _held(simulation: Simulation, seed: int, steps: int) -> Run:
    run = simulation.run(seed, steps)
    if run.violation is not None:
        raise SimulationFailed(fewest(simulation, run))
    return run
