"""Watches processes for progress (watchdog); :mod:`rolehost.roles.beats` reports it.

Silence is measured on a clock that stops while the watcher itself does not run. Otherwise all
processes would seem to hang after the machine was suspended or stopped in a debugger.
"""

from __future__ import annotations

#: The most that one look may add to the clock, as a multiple of the interval between looks.
MAX_STEP = 2.0

#: The name that is reported if no part of a process makes progress.
WHOLE_PROCESS = "the whole process"


class RunningClock:
    """Counts the seconds in which this process ran; look at least every ``longest`` seconds."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._seen: float | None = None
        self._time = 0.0

    def advance(self, now: float) -> float:
        """Return the time; ``now`` is monotonic. A step far over ``longest`` is shortened."""
        if self._seen is not None:
            self._time += min(now - self._seen, MAX_STEP * self.longest)
        self._seen = now
        return self._time


class Watch:
    """The parts of one process, and when each made progress last."""

    def __init__(self) -> None:
        self._last_beats: dict[str, float] = {}

    def beat(self, part: str, at: float) -> None:
        """Note that a part made progress at a time of a :class:`RunningClock`."""
        self._last_beats[part] = at

    def clear(self) -> None:
        """Watch nothing until a part beats again."""
        self._last_beats.clear()

    def silent(self, at: float) -> tuple[str, float] | None:
        """Return the part with the longest silence, and its seconds; None without parts."""
        if not self._last_beats:
            return None
        part = min(self._last_beats, key=self._last_beats.__getitem__)
        silence = at - self._last_beats[part]
        # If all parts are silent for about as long (they do not beat at the same moment), the
        # whole process is frozen.
        if len(self._last_beats) > 1 and at - max(self._last_beats.values()) > silence / 2:
            part = WHOLE_PROCESS
        return part, silence
