"""The delay before a process that died is restarted (exponential back-off)."""

from __future__ import annotations

from typing import NamedTuple


class Backoff(NamedTuple):
    """Exponential back-off; all times are seconds.

    The delay is ``first`` after the first death, and doubles with each death in a row, up to
    ``longest``. After a process has lived for ``stable``, deaths count from 0 again. If the
    process was ready, ``stable`` is also the longest delay, so that random kills, for example by
    the OOM killer, cause no long outage.
    """

    first: float = 0.1
    longest: float = 30.0
    stable: float = 2.0

    def delay(self, deaths: int, *, ready: bool) -> float:
        """Return the delay after ``deaths`` in a row (from 1); ``ready``: the process was ready."""
        longest = self.longest
        if ready:
            longest = min(longest, max(self.stable, self.first))
        doubled: float = self.first * 2 ** min(deaths - 1, 30)
        return min(longest, doubled)
