"""From one seed to many, and back to the one that fails."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rolehost_testing.simulation.simulation import STEPS, Run, Simulation

#: Variable of the environment with the one seed to run.
SEED = "ROLEHOST_SEED"
#: Variable of the environment with how many seeds to run instead of those of the test.
SEEDS = "ROLEHOST_SEEDS"
#: Variable of the environment with the steps of the one seed, when a failure named fewer.
FEWER = "ROLEHOST_STEPS"
#: Lines of a trace that a failure shows.
_SHOWN = 40


class SimulationFailed(AssertionError):
    """An invariant does not hold for a seed.

    Attributes:
        run: the run, with its trace.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(message(run))
        self.run = run


def message(run: Run) -> str:
    """Return what is said of a run that failed: what, how it came to that, how to replay it."""
    shown = run.trace.text(_SHOWN)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = f"{SEED}={run.seed} {FEWER}={run.steps} python -m pytest {shlex.quote(test)}"
    if not test:
        command = f"simulate(…, seed={run.seed}, steps={run.steps})"
    return (
        f"{run.violation}\n\n{shown}\n\nseed {run.seed}, {run.steps} steps, trace {run.digest};"
        f" it can be replayed:\n  {command}"
    )


def simulate(
    what: Sequence[Any] | Simulation, *, seed: int, steps: int = STEPS, **options: Any
) -> Run:
    """Run plugins or deployments once with one seed.

    Args:
        what: see :class:`Simulation`; or one that is made already, which is faster.
        seed: decides everything.
        steps: how many choices are made before everything is left to settle.
        options: see :class:`Simulation`.

    Raises:
        SimulationFailed: an invariant does not hold; says the seed and how to replay it.
    """
    if SEED in os.environ:
        steps = int(os.environ.get(FEWER, steps))
    if isinstance(what, Simulation):
        return _held(what, seed, steps)
    simulation = Simulation(what, **options)
    try:
        return _held(simulation, seed, steps)
    finally:
        simulation.close()


def fewest(simulation: Simulation, failed: Run) -> Run:
    """Return a run of the same seed that fails after fewer steps; ``failed``, if there is none.

    The fewer steps are made before everything is left to settle, the less there is to read.
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
    """Run a simulation with many seeds; return how many.

    Raises:
        SimulationFailed: for the first seed for which an invariant does not hold.
    """
    count = 0
    for seed in seeds:
        _held(simulation, seed, steps)
        count += 1
    return count


def for_seeds(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test of a function that takes a ``seed``: it is called with 0 up to ``count``.

    ``ROLEHOST_SEED=17`` in the environment runs it with that one alone, ``ROLEHOST_SEEDS=10000``
    with so many.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def every(*args: Any, **kwargs: Any) -> None:
            for seed in chosen(count):
                test(*args, seed=seed, **kwargs)

        # pytest looks for fixtures of this name otherwise.
        signature = inspect.signature(test)
        every.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[each for name, each in signature.parameters.items() if name != "seed"]
        )
        return every

    return decorate


def chosen(count: int) -> Iterable[int]:
    """Return the seeds to run: what the environment says, else 0 up to ``count``."""
    if SEED in os.environ:
        return [int(os.environ[SEED])]
    return range(int(os.environ.get(SEEDS, count)))


def _held(simulation: Simulation, seed: int, steps: int) -> Run:
    run = simulation.run(seed, steps)
    if run.violation is not None:
        raise SimulationFailed(fewest(simulation, run))
    return run
