"""What a benchmark is handed, and what it gives back."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The root of the repository.
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is held against: its median must lie in here.

    Attributes:
        least: lower bound; None is none.
        most: upper bound; None is none.
    """

    least: float | None = None
    most: float | None = None

    def held(self, value: float) -> bool:
        """Say whether a value lies within the bounds."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, quartiles and extremes of a few samples."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Summarise at least one sample."""
        if len(samples) == 1:
            only = samples[0]
            return cls(only, only, only, only, only)
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, min(samples), max(samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result.

    Attributes:
        benchmark: name of the benchmark it is of.
        what: what was measured, in a few words.
        unit: unit of the samples: ``/s``, ``µs``, ``ms``, ``s``, ``MB``.
        ours: the host's samples, one a round (latencies: one a message).
        bare: what they are compared with, sample by sample; empty for a figure of its own.
        quiet: for each sample whether the machine had nothing else to do; empty says yes.
        inverse: less is better; ratios are then ``bare / ours``, so that more is better.
        goal: of the ratio's median when there is a ``bare``, else of the samples' median.
    """

    benchmark: str
    what: str
    unit: str
    ours: Sequence[float]
    bare: Sequence[float] = ()
    quiet: Sequence[bool] = ()
    inverse: bool = False
    goal: Goal | None = None

    @property
    def kept(self) -> list[int]:
        """Positions of the samples that count: the quiet ones, when there are three at least."""
        quiet = [at for at, still in enumerate(self.quiet) if still]
        return quiet if len(quiet) >= 3 else list(range(len(self.ours)))

    @property
    def calm(self) -> bool:
        """Whether only quiet rounds count; False: too few were, so all of them do."""
        return not self.quiet or all(self.quiet[at] for at in self.kept)

    @property
    def value(self) -> Spread:
        """The host's samples."""
        return Spread.of([self.ours[at] for at in self.kept])

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round that counts; empty for a figure of its own."""
        if not self.bare:
            return []
        pairs = [(self.ours[at], self.bare[at]) for at in self.kept]
        return [bare / ours if self.inverse else ours / bare for ours, bare in pairs]

    @property
    def judged(self) -> Spread:
        """What the goal is about: the ratio when there is one, else the value."""
        return Spread.of(self.ratios) if self.bare else self.value

    @property
    def held(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        return None if self.goal is None else self.goal.held(self.judged.median)


class Unmeasured(Exception):
    """A benchmark cannot be run here, or what it started failed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How a benchmark is asked to run.

    Attributes:
        folder: an empty temporary folder of its own.
        rounds: how often each side of a pair is measured.
        short: a small run that shows that everything works; its figures mean little.
        patience: seconds to wait for a quiet machine before each round.
        begin: given (total steps, label) begins a line of the display; what it returns is
            called once for each step that is done.
    """

    folder: Path
    rounds: int
    short: bool
    patience: float
    begin: Callable[[int, str], Callable[[], None]] = field(repr=False)

    def scaled(self, full: int, short: int) -> int:
        """Return how many of something to do."""
        return short if self.short else full
