"""The trace of one run, step by step."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Entry(NamedTuple):
    """One line of a trace.

    Attributes:
        step: number of the step.
        at: seconds since the start of the simulation.
        who: name of a process, or ``simulation``.
        what: description of the activity or fault.
        is_log: whether it is a log line. Log lines are not part of the digest, because their text
            may differ from run to run, for example by an address.
    """

    step: int
    at: float
    who: str
    what: str
    is_log: bool = False

    def __str__(self) -> str:
        """Return the entry as one line."""
        mark = "     | " if self.is_log else f"{self.step:5d}  "
        return f"{mark}{self.at:10.3f}s  {self.who:<14}  {self.what}"


class Trace:
    """The lines of one run, and their digest."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, step: int, at: float, who: str, what: str, *, is_log: bool = False) -> None:
        """Add a line."""
        self.entries.append(Entry(step, at, who, what, is_log))

    @property
    def digest(self) -> str:
        """A hash of the trace; equal for identical runs."""
        digest = hashlib.sha256()
        for step, at, who, what, is_log in self.entries:
            if not is_log:
                digest.update(f"{step} {at:.3f} {who} {what}\n".encode())
        return digest.hexdigest()[:16]

    def text(self, last: int | None = None) -> str:
        """Return the lines as text; with ``last``, only that many last lines."""
        return "\n".join(str(entry) for entry in self.entries[-(last or 0) :])
