"""Measure two or more sides in turns in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks import quiet

#: A function that measures one round of one side and returns figures by name.
Side = Callable[[], Mapping[str, float]]


@dataclass(slots=True)
class Rounds:
    """The samples of both sides by name of the figure, one for each round."""

    ours: dict[str, list[float]] = field(default_factory=dict)
    bare: dict[str, list[float]] = field(default_factory=dict)
    quiet: list[bool] = field(default_factory=list)

    def add(self, ours: Mapping[str, float], bare: Mapping[str, float], still: bool) -> None:
        """Add one round of both sides."""
        for samples, measured in ((self.ours, ours), (self.bare, bare)):
            for name, value in measured.items():
                samples.setdefault(name, []).append(value)
        self.quiet.append(still)


def interleave(
    ours: Side,
    bare: Side,
    *,
    rounds: int,
    step: Callable[[], None],
    patience: float,
    into: Rounds | None = None,
    warm: bool = True,
) -> Rounds:
    """Measure both sides in turns: ours, bare, bare, ours, ours, bare …

    The order changes after each round, so that a drift of the machine (heat, a growing file)
    affects both sides equally.

    Args:
        ours: the host.
        bare: the other side.
        rounds: number of rounds of each side.
        step: called after each round.
        patience: maximum seconds to wait for a quiet machine before each round.
        into: earlier rounds to extend.
        warm: first measure each side once and ignore the result.
    """
    measured = into if into is not None else Rounds()
    if warm:
        ours(), bare()
    for number in range(rounds):
        before = quiet.await_still(patience)
        if number % 2:
            second, first = bare(), ours()
        else:
            first, second = ours(), bare()
        measured.add(first, second, before and quiet.still())
        step()
    return measured


@dataclass(slots=True)
class Turns:
    """The samples of several sides, by side and by name of the figure, one for each round."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    quiet: list[bool] = field(default_factory=list)


def take_turns(
    sides: Mapping[str, Side], *, rounds: int, step: Callable[[], None], patience: float
) -> Turns:
    """Measure all sides once in each round, forwards and backwards in turns, after a warm-up.

    Args:
        sides: the sides by name.
        rounds: number of rounds.
        step: called after each round.
        patience: maximum seconds to wait for a quiet machine before each round.
    """
    for measure in sides.values():
        measure()
    turns = Turns()
    names = list(sides)
    for _ in range(rounds):
        before = quiet.await_still(patience)
        for name in names:
            for figure, value in sides[name]().items():
                turns.samples.setdefault(name, {}).setdefault(figure, []).append(value)
        turns.quiet.append(before and quiet.still())
        names.reverse()
        step()
    return turns
