"""The clock of real processes."""

from __future__ import annotations

import time


class SystemClock:
    """Wall-clock time in milliseconds, as the tables hold it."""

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000
