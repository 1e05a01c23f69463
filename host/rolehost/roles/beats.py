"""A process's heartbeat: each of its parts says that it makes progress.

A beat is written by the code whose progress counts, a poll loop for example, and never by a thread
that would live on while that code hangs. The supervisor replaces a process of which a part has
not beaten for ``[supervisor] hang`` seconds; see :mod:`rolehost.observe.progress`.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import threading
import time
from contextlib import suppress

#: The signal at which a process writes the stacks of all its threads to the status pipe.
DUMP = signal.SIGUSR2

#: Beats in the time after which a silent part counts as hung, and the most seconds between two.
BEATS, LONGEST = 6, 10.0

#: What the lines of a dump that tell something begin with; they are written by faulthandler.
DUMPED = ("Current thread ", "Thread ", "  File ")


def interval(hang: float) -> float:
    """Return the seconds between two beats of a part; ``hang`` as in ``[supervisor]``."""
    return min(LONGEST, hang / BEATS) if hang else LONGEST


class Beats:
    """The beats of one process; thread-safe.

    Args:
        hang: ``[supervisor] hang``, seconds; 0: nothing is watched.
        pipe: the status pipe, a file descriptor; None: there is no supervisor.

    Attributes:
        every: a part that waits for work must wake up after so many seconds to beat.
    """

    def __init__(self, hang: float = 0.0, pipe: int | None = None) -> None:
        self.every = interval(hang)
        self._pipe = pipe if hang else None
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        if self._pipe is not None:
            self.dumps()

    @property
    def watched(self) -> bool:
        """Whether a supervisor watches this process."""
        return self._pipe is not None

    def dumps(self) -> None:
        """Let :data:`DUMP` write the stacks; again after something else took the signal."""
        if self._pipe is not None:
            # What is registered already would not be set up again.
            faulthandler.unregister(DUMP)
            faulthandler.register(DUMP, file=self._pipe, all_threads=True, chain=False)

    def beat(self, part: str) -> None:
        """Say that a part makes progress. Cheap; written at most once in half of ``every``.

        Args:
            part: names it in the log, ``jobs of default``; watched from its first beat on.
        """
        if self._pipe is None:
            return
        now = time.monotonic()
        if now < self._due.get(part, 0.0):
            return
        self._due[part] = now + self.every / 2
        self.tell(f"beat {part}")

    def tell(self, line: str) -> None:
        """Write a line to the supervisor; dropped when it does not read, because it may hang."""
        if self._pipe is None:
            return
        with self._lock, suppress(OSError):
            look = select.poll()
            look.register(self._pipe, select.POLLOUT)
            if look.poll(0):
                os.write(self._pipe, f"{' '.join(line.split())}\n".encode(errors="replace"))
