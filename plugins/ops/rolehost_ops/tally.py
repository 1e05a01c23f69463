"""Values that this process counts, in memory-mapped files that ``/metrics`` adds up.

The files are those of prometheus-client's multi-process mode; its own metric classes are not
used: they need an environment variable set before the first import, take the lock once for
each value, and cost three times as much.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.utils import floatToGoString
from rolehost.api import private_file


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its labels.

    Attributes:
        name: without the suffix of its samples (``_total``, ``_bucket``).
        text: what it counts, one sentence.
        labels: names of its labels.
        buckets: upper bounds of a histogram, rising; empty makes it a counter.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def mapped(path: Path) -> MmapedDict:
    """Open a metric file, made for the current user alone when it is missing."""
    os.close(private_file(path))
    return MmapedDict(path)  # type: ignore[no-untyped-call]


class Cell:
    """One value in a file. Hold the tally's lock to add."""

    __slots__ = ("_file", "_key", "_value")

    def __init__(self, file: MmapedDict, key: str) -> None:
        self._file = file
        self._key = key
        # Not 0 when a process of this id lived before: it is continued.
        self._value: float = file.read_value(key)[0]  # type: ignore[no-untyped-call]

    def add(self, amount: float) -> None:
        """Add an amount."""
        self._value = value = self._value + amount
        self._file.write_value(self._key, value, 0.0)  # type: ignore[no-untyped-call]


class Distribution:
    """A histogram's values for one combination of labels. Hold the tally's lock to add."""

    __slots__ = ("_bounds", "_buckets", "_sum")

    def __init__(self, bounds: Sequence[float], buckets: Sequence[Cell], total: Cell) -> None:
        self._bounds = bounds
        self._buckets = buckets
        self._sum = total

    def add(self, amount: float) -> None:
        """Add an observation."""
        self._buckets[bisect_left(self._bounds, amount)].add(1.0)
        self._sum.add(amount)


class Tally:
    """The files of this process; made after the fork.

    Args:
        directory: of the deployment's metric files.

    Attributes:
        lock: hold it for everything here, and for adding to cells.
        closed: nothing may be asked for or added any more.
    """

    def __init__(self, directory: Path) -> None:
        self.lock = Lock()
        self.closed = False
        self._counts: dict[tuple[str, Sequence[str]], Cell] = {}
        self._distributions: dict[tuple[str, Sequence[str]], Distribution] = {}
        self._marks: MmapedDict | None = None
        self._marked = directory / f"gauge_livemax_rolehost_{os.getpid()}.db"
        # Of a process that had this id before: what it marked was true of it alone.
        self._marked.unlink(missing_ok=True)
        # Another name than the library's, so that a plugin may use its metrics beside ours.
        self._counters, self._histograms = (
            mapped(directory / f"{kind}_rolehost_{os.getpid()}.db")
            for kind in ("counter", "histogram")
        )

    def counter(self, family: Family, *values: str) -> Cell:
        """Return the one cell of a counter for these values of its labels."""
        cell = self._counts.get((family.name, values))
        if cell is None:
            name = f"{family.name}_total"
            key = mmap_key(family.name, name, list(family.labels), list(values), family.text)
            cell = self._counts[family.name, values] = Cell(self._counters, key)
        return cell

    def histogram(self, family: Family, *values: str) -> Distribution:
        """Return the one distribution of a histogram for these values of its labels."""
        known = self._distributions.get((family.name, values))
        if known is not None:
            return known

        def cell(suffix: str, *bound: str) -> Cell:
            labels = [*family.labels, "le"] if bound else list(family.labels)
            name = f"{family.name}_{suffix}"
            key = mmap_key(family.name, name, labels, [*values, *bound], family.text)
            return Cell(self._histograms, key)

        bounds = (*family.buckets, inf)
        texts = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        buckets = [cell("bucket", text) for text in texts]
        made = Distribution(bounds, buckets, cell("sum"))
        self._distributions[family.name, values] = made
        return made

    def mark(self, family: Family, *values: str) -> None:
        """Set a gauge to 1 for as long as this process lives; of all processes, one is enough."""
        key = mmap_key(family.name, family.name, list(family.labels), list(values), family.text)
        if self._marks is None:
            self._marks = mapped(self._marked)
        self._marks.write_value(key, 1.0, 0.0)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the files; they keep what was counted. Idempotent; takes the lock itself."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self._counters.close()  # type: ignore[no-untyped-call]
                self._histograms.close()  # type: ignore[no-untyped-call]
                if self._marks is not None:
                    self._marks.close()  # type: ignore[no-untyped-call]
