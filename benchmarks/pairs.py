"""Two sides measured in turns, in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks import quiet

#: Measures one round of one side; returns figures by name.
Side = Callable[[], Mapping[str, float]]


@dataclass(slots=True)
class Rounds:
    """The samples of both sides by the name of the figure, round by round."""

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

    The order changes from round to round, so that a drift of the machine (heat, a growing
    file) falls on both sides alike.

    Args:
        ours: the host.
        bare: what it is compared with.
        rounds: how many rounds of both.
        step: called after each round.
        patience: seconds to wait for a quiet machine before each round.
        into: earlier rounds to add to.
        warm: measure both once before, uncounted.
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
