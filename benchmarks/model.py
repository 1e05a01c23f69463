"""The input and the results of a benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The root of the repository.
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Goal:
    """The bounds for the median of a figure.

    Attributes:
        least: lower bound; None for no bound.
        most: upper bound; None for no bound.
    """

    least: float | None = None
    most: float | None = None

    def held(self, value: float) -> bool:
        """Return whether a value is within the bounds."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, quartiles and extremes of samples."""

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
        benchmark: name of the benchmark.
        what: short description of the measurement.
        unit: unit of the samples: ``/s``, ``µs``, ``ms``, ``s``, ``MB``.
        ours: the host's samples, one for each round (latencies: one for each message).
        bare: the samples to compare with, one for each of ours; empty if there is no comparison.
        quiet: for each sample, whether the machine was otherwise idle; empty means always.
        inverse: less is better; the ratio is then ``bare / ours``, so that more is better.
        goal: for the median of the ratio if there is a ``bare``, else of the samples.
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
        """Indexes of the samples that count: the quiet ones if there are at least three."""
        quiet = [at for at, still in enumerate(self.quiet) if still]
        return quiet if len(quiet) >= 3 else list(range(len(self.ours)))

    @property
    def calm(self) -> bool:
        """Whether only quiet rounds count; False if too few were quiet, so that all count."""
        return not self.quiet or all(self.quiet[at] for at in self.kept)

    @property
    def value(self) -> Spread:
        """The host's samples."""
        return Spread.of([self.ours[at] for at in self.kept])

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round that counts; empty if there is no comparison."""
        if not self.bare:
            return []
        pairs = [(self.ours[at], self.bare[at]) for at in self.kept]
        return [bare / ours if self.inverse else ours / bare for ours, bare in pairs]

    @property
    def judged(self) -> Spread:
        """The values that the goal applies to: the ratios if there are any, else the samples."""
        return Spread.of(self.ratios) if self.bare else self.value

    @property
    def held(self) -> bool | None:
        """Whether the goal is reached; None if there is no goal."""
        return None if self.goal is None else self.goal.held(self.judged.median)


class Unmeasured(Exception):
    """A benchmark cannot run here, or one of its programs failed; the message gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The options of a benchmark run.

    Attributes:
        folder: an empty temporary folder for this benchmark.
        rounds: number of measurements of each side of a pair.
        short: a small run that shows that everything works; its figures mean little.
        patience: maximum seconds to wait for a quiet machine before each round.
        begin: called with (total steps, label) to start a line of the progress display; returns
            a function to call once after each step.
    """

    folder: Path
    rounds: int
    short: bool
    patience: float
    begin: Callable[[int, str], Callable[[], None]] = field(repr=False)

    def scaled(self, full: int, short: int) -> int:
        """Return the number for a full run or a short run."""
        return short if self.short else full
