"""The clock of real processes."""

from __future__ import annotations

import time


class SystemClock:
    """The wall clock in milliseconds, the unit of all times in the tables."""

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000
