"""The life of a role process: wait for backends, start, run until a signal, drain, stop."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

from rolehost.delivery import forks
from rolehost.errors import StorageRefused, StorageUnavailable
from rolehost.roles.backoff import Backoff
from rolehost.roles.outages import Outage
from rolehost.roles.process import Process
from rolehost.roles.serving import PING_THREAD
from rolehost.roles.status import STUCK

#: The most seconds until a signal takes effect while a backend is pinged.
SIGNAL_DELAY = 0.1

#: The most seconds from the request for a replacement to the end of the process.
REPLACE_SECONDS = 20.0

#: The delays between two attempts to start, seconds.
START_BACKOFF = Backoff(first=0.25, longest=5.0)


class Role(Protocol):
    """The work of a role between ready and drain, in threads that the role starts."""

    def start(self) -> None:
        """Start to take work."""

    def report_progress(self) -> None:
        """Send a heartbeat if counters show progress; called regularly by the main thread."""

    def stop(self) -> None:
        """Take no more work, finish running work within the grace, hand back the rest."""


def run_role(process: Process, role_of: Callable[[Process], Role]) -> int:
    """Start a process and run its role until TERM or INT; return the exit status.

    If the role asks for a replacement, the process stops as on TERM, with the status ``STUCK``.
    """
    stop = threading.Event()
    reasons: list[str] = []

    def replace(reason: str) -> None:
        reasons.append(reason)
        process.announce(f"failed {reason}")
        stop.set()
        # The end may wait for a lock that a stuck thread holds.
        last = threading.Timer(REPLACE_SECONDS, os._exit, (STUCK,))
        last.daemon = True
        last.start()

    process.replace = replace
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    forks.reset_in_children()
    if not start_when_available(process, stop):
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
                role.report_progress()
        process.drain()
        role.stop()
    finally:
        process.stop()
    return STUCK if reasons else 0


def start_when_available(
    process: Process, stop: threading.Event, *, quiet: bool = False, raise_refused: bool = True
) -> bool:
    """Start a process as soon as its backends answer; return False if ``stop`` was set before.

    The wait is logged at level ``warning``, or at ``debug`` if another process logs it (``quiet``).
    StorageRefused: a backend refuses the settings of the deployment. If ``raise_refused`` is
    False, because the role was ready before, the function waits instead.
    """
    outage = Outage("waiting for storage", quiet=quiet)
    for attempt in itertools.count(1):
        if stop.is_set():
            break
        try:
            if not run_interruptibly(process.ping, stop):
                break
            process.start()
        except StorageUnavailable as error:
            if raise_refused and isinstance(error, StorageRefused):
                raise
            process.announce("waiting")
            outage.failed(error)
            stop.wait(start_delay(attempt))
        else:
            outage.succeeded(over_after=0.0)
            return True
    return False


def start_delay(attempt: int) -> float:
    """Return the seconds after a failed attempt (from 1) to start, with jitter (50 to 100 %).

    So not all processes connect at the same moment when a backend is back.
    """
    return START_BACKOFF.delay(attempt, ready=False) * random.uniform(0.5, 1.0)


def run_interruptibly(
    function: Callable[[], None], stop: threading.Event, limit: float | None = None
) -> bool:
    """Run a blocking function in a thread, so that signals take effect; raise its error.

    Returns False if the function has not ended when ``stop`` is set, or after ``limit`` seconds
    (None: no limit).
    """
    raised: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)
        finally:
            over.set()

    threading.Thread(target=run, name=PING_THREAD, daemon=True).start()
    deadline = None if limit is None else time.monotonic() + limit
    while not over.wait(SIGNAL_DELAY):
        if stop.is_set() or (deadline is not None and time.monotonic() > deadline):
            return False
    if raised:
        # pop() avoids a reference cycle of error and frame, which would keep the clients in the
        # error's frames alive.
        raise raised.pop()
    return True
