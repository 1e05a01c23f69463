"""The heartbeats of a process: each part reports that it makes progress (watchdog).

The code that must make progress sends the beat itself, for example a poll loop. A separate thread
would still beat while that code hangs. The supervisor replaces a process if a part has not beaten
for ``[supervisor] hang`` seconds; see :mod:`rolehost.observe.progress`.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import threading
import time
from contextlib import suppress

#: The signal that makes a process write the stacks of all its threads to the status pipe.
DUMP_SIGNAL = signal.SIGUSR2

#: The number of beats in ``hang`` seconds, and the most seconds between two beats.
BEATS_PER_HANG, LONGEST_INTERVAL = 6, 10.0

#: Prefixes of the lines of faulthandler's dump that are logged.
DUMP_PREFIXES = ("Current thread ", "Thread ", "  File ")


def interval(hang: float) -> float:
    """Return the seconds between two beats of a part; ``hang`` is ``[supervisor] hang``."""
    return min(LONGEST_INTERVAL, hang / BEATS_PER_HANG) if hang else LONGEST_INTERVAL


class Beats:
    """The beats of one process; thread-safe.

    ``hang`` is ``[supervisor] hang``, seconds; 0: nothing is watched. ``pipe`` is the status
    pipe; None without a supervisor. A part that waits for work must wake up every ``every``
    seconds to beat.
    """

    def __init__(self, hang: float = 0.0, pipe: int | None = None) -> None:
        self.hang = hang
        self.every = interval(hang)
        self._pipe = pipe if hang else None
        self.watched = self._pipe is not None
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self.register_dump()

    def register_dump(self) -> None:
        """Register the handler of :data:`DUMP_SIGNAL`; call it again if other code replaced it."""
        if self._pipe is not None:
            # Unregister first, because a second registration alone changes nothing.
            faulthandler.unregister(DUMP_SIGNAL)
            faulthandler.register(DUMP_SIGNAL, file=self._pipe, all_threads=True, chain=False)

    def beat(self, part: str) -> None:
        """Report progress of a part; from its first beat on, the part is watched.

        This is cheap: the part writes at most one beat per ``every / 2`` seconds.
        """
        if self._pipe is None:
            return
        now = time.monotonic()
        if now >= self._due.get(part, 0.0):
            self._due[part] = now + self.every / 2
            self.write(f"beat {part}")

    def write(self, line: str) -> None:
        """Write a line to the supervisor; drop it if the supervisor does not read (it may hang)."""
        if self._pipe is None:
            return
        with self._lock, suppress(OSError):
            poller = select.poll()
            poller.register(self._pipe, select.POLLOUT)
            if poller.poll(0):
                os.write(self._pipe, f"{' '.join(line.split())}\n".encode(errors="replace"))
