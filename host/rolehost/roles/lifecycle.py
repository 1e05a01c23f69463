"""The life of a role process: wait for backends, start, run until a signal, drain, stop."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Protocol

from rolehost.delivery import forks
from rolehost.errors import StorageRefused, StorageUnavailable
from rolehost.roles.outages import StartWait
from rolehost.roles.process import Process
from rolehost.roles.serving import PINGING

#: The most seconds until a signal takes effect while a backend is pinged.
HEEDED = 0.1


class Role(Protocol):
    """The work of a role between ready and drain, in threads that the role starts."""

    def start(self) -> None:
        """Start to take work."""

    def look(self) -> None:
        """Beat if counters show progress; the main thread calls this at regular intervals."""

    def stop(self) -> None:
        """Take no more work, finish running work within the grace, hand back the rest."""


def live(process: Process, role_of: Callable[[Process], Role]) -> int:
    """Start a process and run its role until TERM or INT; return the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    forks.arm()
    if not started(process, stop):
        return 0
    try:
        role = role_of(process)
        role.start()
        # These objects live as long as the process; a full collection need not visit them.
        gc.freeze()
        process.beats.beat("the main loop")
        process.announce_ready()
        while not stop.wait(process.beats.every):
            process.beats.beat("the main loop")
            if process.beats.watched:
                role.look()
        process.drain()
        role.stop()
    finally:
        process.stop()
    return 0


def started(
    process: Process, stop: threading.Event, *, speak: bool = True, refused: bool = True
) -> bool:
    """Start a process as soon as its backends answer; return False if it was stopped before.

    The wait is logged at level ``warning``, or at ``debug`` without ``speak`` if another process
    logs it. StorageRefused: a backend refuses the settings of the deployment. If ``refused`` is
    False, this waits instead, because the role was ready before.
    """
    wait = StartWait(Random(), speak=speak)
    while not stop.is_set():
        try:
            if not answered(process.ping, stop):
                return False
            process.start()
        except StorageUnavailable as error:
            if refused and isinstance(error, StorageRefused):
                raise
            process.announce_waiting()
            stop.wait(wait.failed(error))
        else:
            wait.over()
            return True
    return False


def answered(ask: Callable[[], None], stop: threading.Event, limit: float | None = None) -> bool:
    """Run a blocking function in a thread, so that signals take effect; raise its error.

    False: it has not ended when ``stop`` was set, or after ``limit`` seconds (None: no limit).
    """
    raised: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            ask()
        except BaseException as error:
            raised.append(error)
        finally:
            over.set()

    threading.Thread(target=run, name=PINGING, daemon=True).start()
    deadline = None if limit is None else time.monotonic() + limit
    while not over.wait(HEEDED):
        if stop.is_set() or (deadline is not None and time.monotonic() > deadline):
            return False
    if raised:
        # pop() avoids a reference cycle of error and frame, which would keep the clients in the
        # error's frames alive.
        raise raised.pop()
    return True
