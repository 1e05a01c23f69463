"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime

#: When the clock of a test begins, unless it says otherwise: a Monday at noon.
BEGINNING = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Clock:
    """Time that moves when a test says so; implements :class:`rolehost.api.Clock`.

    Args:
        start: the first moment; with a time zone.
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
        """Move forward, and nothing else: what is due then runs in the next ``drain()``.

        Raises:
            ValueError: ``seconds`` is negative; time does not go back.
        """
        if seconds < 0:
            raise ValueError(f"the clock cannot go back by {-seconds} s")
        self._now += round(seconds * 1000)

    def move_to(self, moment: int | datetime) -> None:
        """Move forward to a moment (milliseconds since the epoch, or a datetime); never back."""
        if isinstance(moment, datetime):
            moment = int(moment.timestamp() * 1000)
        self._now = max(self._now, moment)
