"""What happened in one run, step by step."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Entry(NamedTuple):
    """One line of a trace.

    Attributes:
        step: number of the step.
        at: seconds since the simulation began.
        who: a process, or ``simulation``.
        what: what it did or what was done to it.
        told: whether it is a line of the log, which is no part of the digest: its text may hold
            what differs from run to run, such as an address.
    """

    step: int
    at: float
    who: str
    what: str
    told: bool = False

    def __str__(self) -> str:
        """Return it as one line."""
        mark = "     | " if self.told else f"{self.step:5d}  "
        return f"{mark}{self.at:10.3f}s  {self.who:<14}  {self.what}"


class Trace:
    """The lines of one run, and their digest."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, step: int, at: float, who: str, what: str, *, told: bool = False) -> None:
        """Add a line."""
        self.entries.append(Entry(step, at, who, what, told))

    @property
    def digest(self) -> str:
        """A hash of everything that happened: equal for two runs that are the same."""
        digest = hashlib.sha256()
        for step, at, who, what, told in self.entries:
            if not told:
                digest.update(f"{step} {at:.3f} {who} {what}\n".encode())
        return digest.hexdigest()[:16]

    def text(self, last: int | None = None) -> str:
        """Return the lines, or the last so many of them, to be read."""
        return "\n".join(str(entry) for entry in self.entries[-(last or 0) :])
