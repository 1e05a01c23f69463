"""Simulated time, which only the simulation advances."""

from __future__ import annotations

#: Start time of every simulation: 2027-01-15, 08:00 UTC, in milliseconds since the epoch.
START = 1_800_000_000_000


class SimulatedClock:
    """The clock of one simulated world; implements :class:`rolehost.api.Clock`.

    Attributes:
        milliseconds: the time since the Unix epoch.
        elapsed: milliseconds since the start of the simulation; no clock step changes it.
    """

    __slots__ = ("_latest", "elapsed", "milliseconds")

    def __init__(self) -> None:
        self.milliseconds = START
        self.elapsed = 0
        self._latest = START

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return self.milliseconds

    def forward(self, milliseconds: int) -> None:
        """Let time pass."""
        self.milliseconds += milliseconds
        self.elapsed += milliseconds
        self._latest = max(self._latest, self.milliseconds)

    def set_back(self, milliseconds: int) -> None:
        """Set the clock back, as an operator or a time service does."""
        self.milliseconds -= milliseconds

    @property
    def is_behind(self) -> bool:
        """Whether it was set back, and has not reached the earlier time again."""
        return self.milliseconds < self._latest

    @property
    def passed(self) -> float:
        """Seconds since the start of the simulation."""
        return self.elapsed / 1000
