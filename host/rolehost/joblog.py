"""The last log lines of the attempt of a job, which are stored with it if it fails."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar

from rolehost.redaction import masked

#: The most lines that are kept, and the most characters of one.
MOST_LINES, MOST_CHARACTERS = 100, 500

#: The lines of the attempt that this context makes, oldest first.
kept: ContextVar[deque[str] | None] = ContextVar("rolehost_joblog", default=None)


def new() -> deque[str]:
    """Return the place for the lines of an attempt."""
    return deque(maxlen=MOST_LINES)


def keep(line: str) -> None:
    """Keep a line, if this context makes an attempt."""
    lines = kept.get()
    if lines is not None:
        # Masked first, because a part of a secret would not be found any more.
        lines.append(masked(line)[:MOST_CHARACTERS])
