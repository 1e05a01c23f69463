"""Watches processes for progress; how they report it is in :mod:`rolehost.roles.beats`.

Silence is measured on a clock that stands still while the watcher itself does not run. So after
the machine was suspended, or stopped in a debugger, nothing seems to have been silent for long.
"""

from __future__ import annotations

#: Times the interval between two looks that one look may add to the clock.
SLACK = 2.0

#: The part that is named if no part of a process makes progress.
WHOLE = "the whole process"


class RunningClock:
    """Seconds in which this process ran; two looks are at most ``longest`` seconds apart."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._seen: float | None = None
        self._time = 0.0

    def look(self, now: float) -> float:
        """Return the time; ``now`` is monotonic, and a step far over ``longest`` is cut."""
        if self._seen is not None:
            self._time += min(now - self._seen, SLACK * self.longest)
        self._seen = now
        return self._time


class Watch:
    """The parts of one process, and when each made progress last."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def beat(self, part: str, at: float) -> None:
        """Note that a part made progress; ``at`` by a :class:`RunningClock`."""
        self._heard[part] = at

    def clear(self) -> None:
        """Watch nothing until a part beats again."""
        self._heard.clear()

    def silent(self, at: float) -> tuple[str, float] | None:
        """Return the part that is silent for longest, and the seconds; None without parts."""
        if not self._heard:
            return None
        part = min(self._heard, key=self._heard.__getitem__)
        silence = at - self._heard[part]
        # Parts do not beat in step; those of a frozen process are silent for about as long.
        if len(self._heard) > 1 and at - max(self._heard.values()) > silence / 2:
            part = WHOLE
        return part, silence
