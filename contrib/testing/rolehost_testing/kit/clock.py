"""A clock that advances only when the test advances it."""

from __future__ import annotations

from datetime import UTC, datetime

#: The default start time of a test's clock: a Monday at noon.
BEGINNING = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Clock:
    """A clock that the test advances; implements :class:`rolehost.api.Clock`.

    Args:
        start: the start time; must have a time zone.
    """

    def __init__(self, start: datetime = BEGINNING) -> None:
        if start.tzinfo is None:
            raise ValueError(f"the clock's start {start} has no time zone")
        self._now = int(start.timestamp() * 1000)

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return self._now

    @property
    def moment(self) -> datetime:
        """The time as a datetime in UTC."""
        return datetime.fromtimestamp(self._now / 1000, UTC)

    def advance(self, seconds: float) -> None:
        """Advance the clock and run nothing; due work runs in the next ``drain()``.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"the clock cannot go back by {-seconds} s")
        self._now += round(seconds * 1000)

    def move_to(self, moment: int | datetime) -> None:
        """Advance to a time (milliseconds since the epoch or a datetime), if it is later."""
        if isinstance(moment, datetime):
            moment = int(moment.timestamp() * 1000)
        self._now = max(self._now, moment)
