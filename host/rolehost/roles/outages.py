"""Telling of an outage that a running process waits out: when it begins, rarely, when it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger(__name__)

#: Seconds without a failure after which an outage is over; some clients are silent in between.
CALM = 10.0


class Outage:
    """One thread's outages, at level ``warning``; many failures of one are few lines.

    Args:
        clock: monotonic seconds.
        bound: who is hit, in every line.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **bound: Any) -> None:
        self._clock = clock
        self._bound = bound
        self._began: float | None = None
        self._last = self._due = 0.0

    def failed(self, error: Exception) -> None:
        """Tell of a failure: the first one, and again each time it has lasted twice as long."""
        now = self._last = self._clock()
        if self._began is None:
            self._began = now
        elif now < self._due:
            return
        lasted = now - self._began
        self._due = now + max(CALM, lasted)
        log.warning("storage unavailable", error=str(error), lasted=round(lasted, 1), **self._bound)

    def passed(self) -> None:
        """Tell, once it has been calm for a while, that it is over. Costs nothing without one."""
        if self._began is None or self._clock() - self._last < CALM:
            return
        log.warning("storage answers", lasted=round(self._last - self._began, 1), **self._bound)
        self._began = None
