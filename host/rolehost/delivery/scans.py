"""Where a scan of an index begins, so that it does not read dead entries again and again.

While any session holds an old snapshot, PostgreSQL keeps the entries of rows that are claimed and
finished. They accumulate at the beginning of an index of waiting rows. So a scan begins at the
first row that the last scan found. Sometimes a scan is *whole*: it begins at the beginning of the
index, to find rows that were committed late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: Whole scans take at most this part of the time: one in 20.
_PART = 20
#: Maximum milliseconds between two whole scans, for example if the machine paused during one.
_LONGEST = 5000


class ScanStart(Generic[T]):
    """Where the scans of one process begin in one index.

    ``first`` is before every entry of the index. ``clock`` returns milliseconds.
    """

    __slots__ = ("_began", "_clock", "_first", "_last", "_next_whole", "_whole")

    def __init__(self, first: T, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._first = self._last = first
        self._next_whole = self._began = 0
        self._whole = True

    def begin(self) -> T:
        """Begin a scan; return the first entry to read."""
        self._began = self._clock()
        # If the next whole scan is further away than ``_LONGEST``, the clock was set back.
        self._whole = not 0 < self._next_whole - self._began <= _LONGEST
        return self.position

    def end(self, found: T | None) -> None:
        """End a scan that found this entry first; None if it found none."""
        now = self._clock()
        if self._whole:
            self._next_whole = now + min(_PART * (now - self._began), _LONGEST)
        if found is not None:
            self._last = found

    @property
    def position(self) -> T:
        """The first entry to read: what the last scan found first, or the beginning of the
        index.
        """
        return self._first if self._whole else self._last
