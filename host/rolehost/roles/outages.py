"""Log lines about outages of storage: at the start, then at growing intervals, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import structlog

from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: Seconds without a failure after which an outage is over, because some clients fail only
#: sometimes. Also the fewest seconds between two lines about one outage.
CALM = 10.0

#: Seconds before the second attempt of a start, and the most between two attempts. Each delay has
#: jitter (50 to 100 %), so that processes do not all connect at once when an engine is back.
FIRST, LONGEST = 0.25, 5.0


class Outage:
    """Logs the outages that a thread waits out, at ``warning``; ``bound`` are more fields."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **bound: Any) -> None:
        self._clock = clock
        self._bound = bound
        self._began: float | None = None
        self._last = self._due = 0.0

    def failed(self, error: Exception) -> None:
        """Log the first failure, then one each time that the outage has lasted twice as long."""
        now = self._last = self._clock()
        if self._began is None:
            self._began = now
        elif now < self._due:
            return
        lasted = now - self._began
        self._due = now + max(CALM, lasted)
        log.warning("storage unavailable", error=str(error), lasted=round(lasted, 1), **self._bound)

    def passed(self) -> None:
        """Log the end of an outage, :data:`CALM` seconds after its last failure."""
        if self._began is None or self._clock() - self._last < CALM:
            return
        log.warning("storage answers", lasted=round(self._last - self._began, 1), **self._bound)
        self._began = None


class StartWait:
    """The delays between the attempts of a start, and its log lines.

    The lines have the level ``warning``, or ``debug`` without ``speak``.
    """

    def __init__(
        self, random: Random, *, speak: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._random = random
        self._log = log.warning if speak else log.debug
        self._clock = clock
        self._delay = FIRST
        self._began = self._due = 0.0
        self._last = ""

    def failed(self, error: StorageUnavailable) -> float:
        """Return the seconds before the next attempt; log the error if it is new or it lasts."""
        now = self._clock()
        text = str(error)
        if not self._last:
            self._began = now
        waited = now - self._began
        if text != self._last or waited >= self._due:
            self._last = text
            self._due = max(CALM, 2 * waited)
            named = {"backend": error.backend, "setting": error.setting}
            self._log(
                "waiting for storage",
                error=text,
                waited=round(waited, 1),
                **{name: value for name, value in named.items() if value},
            )
        delay = self._delay
        self._delay = min(LONGEST, 2 * delay)
        return delay * self._random.uniform(0.5, 1.0)

    def over(self) -> None:
        """Log that the wait, if there was one, is over."""
        if self._last:
            self._log("storage answers", waited=round(self._clock() - self._began, 1))
