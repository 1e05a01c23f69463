"""The delay before a process that died is restarted (exponential back-off)."""

from __future__ import annotations

from typing import NamedTuple


class Backoff(NamedTuple):
    """The rule of the supervisor and of gunicorn's master. Times are seconds.

    Attributes:
        first: delay before the first restart; it doubles with each death in a row.
        longest: upper bound of the delay.
        stable: a process that lives so long is stable: its deaths count from 0. This is also the
            longest delay of a process that was ready, because after it the deaths would count
            from 0 anyway: a machine that kills processes at random never waits long for one.
    """

    first: float = 0.1
    longest: float = 30.0
    stable: float = 2.0

    def delay(self, deaths: int, *, ready: bool) -> float:
        """Return the delay after a number of deaths in a row, from 1.

        Args:
            deaths: how many.
            ready: whether the process that died was ready.
        """
        longest = self.longest
        if ready:
            longest = min(longest, max(self.stable, self.first))
        doubled: float = self.first * 2 ** min(deaths - 1, 30)
        return min(longest, doubled)
