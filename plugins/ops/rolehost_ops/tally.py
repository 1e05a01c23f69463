"""The metric values of this process, in memory-mapped files that ``/metrics`` sums.

The files have the format of prometheus-client's multi-process mode. The metric classes of
prometheus-client are not used, because they need an environment variable before the first import,
take the lock for each value, and are three times slower.
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
        name: name without the suffix of its samples (``_total``, ``_bucket``).
        text: description in one sentence.
        labels: names of its labels.
        buckets: upper bounds of a histogram in ascending order; empty for a counter.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def mapped(path: Path) -> MmapedDict:
    """Open a metric file; if it is missing, create it for the current user only."""
    os.close(private_file(path))
    return MmapedDict(path)  # type: ignore[no-untyped-call]


class Cell:
    """One value in a file. Hold the tally's lock to change it."""

    __slots__ = ("_file", "_key", "_value")

    def __init__(self, file: MmapedDict, key: str) -> None:
        self._file = file
        self._key = key
        # The value is not 0 if an earlier process had the same id: its count continues.
        self._value: float = file.read_value(key)[0]  # type: ignore[no-untyped-call]

    def add(self, amount: float) -> None:
        """Add an amount."""
        self._value = value = self._value + amount
        self._file.write_value(self._key, value, 0.0)  # type: ignore[no-untyped-call]


class Distribution:
    """The values of a histogram for one label combination. Hold the tally's lock to add."""

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
    """The metric files of this process; create it after the fork.

    Args:
        directory: directory of the deployment's metric files.

    Attributes:
        lock: hold it for all methods except :meth:`close`, and to add to cells.
        closed: whether the files are closed; do not read or add after that.
    """

    def __init__(self, directory: Path) -> None:
        self.lock = Lock()
        self.closed = False
        self._counts: dict[tuple[str, Sequence[str]], Cell] = {}
        self._distributions: dict[tuple[str, Sequence[str]], Distribution] = {}
        self._marks: MmapedDict | None = None
        self._marked = directory / f"gauge_livemax_rolehost_{os.getpid()}.db"
        # The marks of an earlier process with the same id are no longer valid.
        self._marked.unlink(missing_ok=True)
        # prometheus-client uses other file names, so a plugin can also use its metric classes.
        self._counters, self._histograms = (
            mapped(directory / f"{kind}_rolehost_{os.getpid()}.db")
            for kind in ("counter", "histogram")
        )

    def counter(self, family: Family, *values: str) -> Cell:
        """Return the cell of a counter for these label values."""
        cell = self._counts.get((family.name, values))
        if cell is None:
            name = f"{family.name}_total"
            key = mmap_key(family.name, name, list(family.labels), list(values), family.text)
            cell = self._counts[family.name, values] = Cell(self._counters, key)
        return cell

    def histogram(self, family: Family, *values: str) -> Distribution:
        """Return the distribution of a histogram for these label values."""
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
        """Set a gauge to 1 while this process lives; merged, it is 1 if any process sets it."""
        key = mmap_key(family.name, family.name, list(family.labels), list(values), family.text)
        if self._marks is None:
            self._marks = mapped(self._marked)
        self._marks.write_value(key, 1.0, 0.0)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the files; their values are kept. Idempotent; takes the lock itself."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self._counters.close()  # type: ignore[no-untyped-call]
                self._histograms.close()  # type: ignore[no-untyped-call]
                if self._marks is not None:
                    self._marks.close()  # type: ignore[no-untyped-call]
