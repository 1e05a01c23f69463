"""Simulated time, which only the simulation advances."""

from __future__ import annotations

#: Start time of every simulation: 2027-01-15, 08:00 UTC, in milliseconds since the epoch.
START = 1_800_000_000_000


class SimulatedClock:
    """The clock of one simulated world; implements :class:`rolehost.api.Clock`."""

    __slots__ = ("milliseconds",)

    def __init__(self) -> None:
        self.milliseconds = START

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return self.milliseconds

    def forward(self, milliseconds: int) -> None:
        """Advance the clock."""
        self.milliseconds += milliseconds

    @property
    def passed(self) -> float:
        """Seconds since the start of the simulation."""
        return (self.milliseconds - START) / 1000
