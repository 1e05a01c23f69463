"""The life of a role that is one process: start, ready, until it is told to stop, drain, stop."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable
from typing import Protocol

from rolehost.delivery import forks
from rolehost.roles.process import Process
from rolehost.roles.waiting import started


class Role(Protocol):
    """What a role does between ready and drain, in threads of its own."""

    def start(self) -> None:
        """Begin to take work."""

    def look(self) -> None:
        """Beat for what only counters show; called now and then by the thread that waits."""

    def stop(self) -> None:
        """Take no more, finish what runs within the grace, hand back the rest."""


def live(process: Process, role_of: Callable[[Process], Role]) -> int:
    """Run a role in this process until TERM or INT; return the exit status.

    It starts when its backends answer; told to stop before that, it ends at once, for it holds
    nothing yet.

    Args:
        process: not yet started.
        role_of: makes the role of a started process.
    """
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    forks.arm()
    if not started(process, told_to_stop):
        return 0
    try:
        role = role_of(process)
        role.start()
        # What there is now stays, and need not be looked at by every full collection.
        gc.freeze()
        process.beats.beat("the main loop")
        process.announce_ready()
        while not told_to_stop.wait(process.beats.every):
            process.beats.beat("the main loop")
            if process.beats.watched:
                role.look()
        process.drain()
        role.stop()
    finally:
        process.stop()
    return 0
