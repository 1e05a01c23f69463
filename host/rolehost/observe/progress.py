"""The watchdog's clock and its record of beats; :mod:`rolehost.roles.beats` sends them.

The clock stops while the watching process does not run. Otherwise all processes would seem to
hang after the machine was suspended, or after a stop in a debugger.
"""

from __future__ import annotations

#: The most that one call may add to the clock, as a multiple of the interval between calls.
MAX_STEP = 2.0

#: The name that is reported if no part of a process makes progress.
WHOLE_PROCESS = "the whole process"


class RunningClock:
    """Counts the seconds in which this process ran; advance it at least every ``longest`` s."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._seen: float | None = None
        self._time = 0.0

    def advance(self, now: float) -> float:
        """Return the time; ``now`` is monotonic. A step above ``MAX_STEP * longest`` is cut."""
        if self._seen is not None:
            self._time += min(now - self._seen, MAX_STEP * self.longest)
        self._seen = now
        return self._time


class Watch:
    """The parts of one process, and when each made progress last."""

    def __init__(self) -> None:
        self._last_beats: dict[str, float] = {}

    def beat(self, part: str, at: float) -> None:
        """Record that a part made progress at ``at``, a time of a :class:`RunningClock`."""
        self._last_beats[part] = at

    def clear(self) -> None:
        """Forget all parts until they beat again."""
        self._last_beats.clear()

    def silent(self, at: float) -> tuple[str, float] | None:
        """Return the part with the longest silence, and its seconds; None without parts."""
        if not self._last_beats:
            return None
        part = min(self._last_beats, key=self._last_beats.__getitem__)
        silence = at - self._last_beats[part]
        # All parts are silent for about as long: the whole process is frozen. The times differ
        # a little, because parts do not beat at the same moment.
        if len(self._last_beats) > 1 and at - max(self._last_beats.values()) > silence / 2:
            part = WHOLE_PROCESS
        return part, silence
