"""The delay before a process that died is restarted (exponential back-off)."""

from __future__ import annotations

from typing import NamedTuple


class Backoff(NamedTuple):
    """The rule of the supervisor and of gunicorn's master. Times are seconds.

    The delay begins at ``first`` and doubles with each death in a row, up to ``longest``. A
    process that lives for ``stable`` is stable: its deaths count from 0. So this is also the
    longest delay of a process that was ready: a machine that kills processes at random never
    waits long for one.
    """

    first: float = 0.1
    longest: float = 30.0
    stable: float = 2.0

    def delay(self, deaths: int, *, ready: bool) -> float:
        """Return the delay after so many deaths in a row (from 1) of a process, ready or not."""
        longest = self.longest
        if ready:
            longest = min(longest, max(self.stable, self.first))
        doubled: float = self.first * 2 ** min(deaths - 1, 30)
        return min(longest, doubled)
