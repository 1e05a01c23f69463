"""Hits counted against limits, in the memory of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rolehost.api import Quota

#: If there are more names than this, names with all their hits available are forgotten.
_MAX_NAMES = 10_000


class Limits:
    """The generic cell rate algorithm: for each name, the time when all its hits are available.

    Thread-safe.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._full_again: dict[str, float] = {}
        self._remove_above = _MAX_NAMES
        self._guard = threading.Lock()

    def hit(self, name: str, limit: int, period: float, cost: int) -> Quota:
        """See :meth:`rolehost.api.Cache.hit`."""
        if limit < 1 or not 0 < period < float("inf") or not 1 <= cost <= limit:
            raise ValueError(f"invalid limit: {cost} of {limit} hits in {period} s")
        each = period / limit
        with self._guard:
            now = self._clock()
            full_again = max(self._full_again.get(name, now), now)
            wanted = full_again + cost * each
            # A billionth of a period is allowed: a hit after ``retry_after`` must not fail by
            # rounding.
            over = wanted - now - period * (1 + 1e-9)
            if over > 0:
                return Quota(False, _whole_hits((now + period - full_again) / each), over)
            self._full_again[name] = wanted
            if len(self._full_again) > self._remove_above:
                self._remove_full(now)
        return Quota(True, _whole_hits((now + period - wanted) / each), 0.0)

    def _remove_full(self, now: float) -> None:
        self._full_again = {name: at for name, at in self._full_again.items() if at > now}
        self._remove_above = max(_MAX_NAMES, 2 * len(self._full_again))


def _whole_hits(hits: float) -> int:
    return max(0, int(hits + 1e-6))
