"""Log lines about outages of storage: at the start, then at growing intervals, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: Seconds without a failure after which an outage of a loop is over, because some clients fail
#: only sometimes. Also the fewest seconds between two lines with the same error.
OUTAGE_OVER_AFTER = 10.0


class Outage:
    """Logs the outages that a thread waits out; ``bound`` are more fields of the lines.

    ``event`` is the message of a failure. The level is ``warning``, or ``debug`` if ``quiet``.
    """

    def __init__(
        self,
        event: str = "storage unavailable",
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
        **bound: Any,
    ) -> None:
        self._event = event
        self._log = log.debug if quiet else log.warning
        self._clock = clock
        self._bound = bound
        self._began: float | None = None
        self._last = self._due = 0.0
        self._logged: set[str] = set()

    def failed(self, error: StorageUnavailable) -> None:
        """Log each new error, and a known one when the outage has lasted twice as long as then."""
        now = self._last = self._clock()
        if self._began is None:
            self._began = now
        text = str(error)
        if text in self._logged and now < self._due:
            return
        self._logged.add(text)
        lasted = now - self._began
        self._due = now + max(OUTAGE_OVER_AFTER, lasted)
        named = {"backend": error.backend, "setting": error.setting}
        named = {name: value for name, value in named.items() if value}
        self._log(self._event, error=text, lasted=round(lasted, 1), **named, **self._bound)

    def succeeded(self, over_after: float = OUTAGE_OVER_AFTER) -> None:
        """Log the end of an outage if its last failure was ``over_after`` seconds ago or more."""
        if self._began is None or self._clock() - self._last < over_after:
            return
        self._log("storage answers", lasted=round(self._last - self._began, 1), **self._bound)
        self._began = None
        self._logged.clear()
