"""Waiting for backends: what can come is waited for, what cannot ends the process at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import structlog

from rolehost.errors import StorageRefused, StorageUnavailable
from rolehost.roles.leaving import ASKING
from rolehost.roles.process import Process

log = structlog.get_logger(__name__)

#: Seconds before the second attempt, and the most between two; each is drawn from the upper
#: half, so that the processes of a fleet do not come in step when an engine is back.
FIRST, LONGEST = 0.25, 5.0

#: Seconds of waiting before it is told a second time; then each time it has lasted twice as long.
TOLD_AGAIN = 10.0

#: Seconds within which a signal is heeded while a backend is asked.
HEEDED = 0.1


def started(
    process: Process, stop: threading.Event, *, speak: bool = True, refused: bool = True
) -> bool:
    """Start a process as soon as its backends answer.

    They are asked in a thread of its own, so that a signal is heeded while a connection is
    still being tried.

    Args:
        process: not yet started.
        stop: set when the process is told to stop.
        speak: tell of the wait at level ``warning``; else, for one of several that wait
            together, at ``debug``.
        refused: raise what is refused; else it is waited for too, as by one that ran before.

    Returns:
        False: told to stop before it had started.

    Raises:
        StorageRefused: a backend refuses what the deployment says.
        RolehostError: it cannot start for another reason.
    """
    wait = Wait(Random(), speak=speak)
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


class Wait:
    """How long to wait next, and when to tell of it.

    Args:
        random: draws the delays.
        speak: see :func:`started`.
        clock: monotonic seconds.
    """

    def __init__(
        self, random: Random, *, speak: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._random = random
        self._tell = log.warning if speak else log.debug
        self._clock = clock
        self._delay = FIRST
        self._began = 0.0
        self._last = ""
        self._due = 0.0

    def failed(self, error: StorageUnavailable) -> float:
        """Return the seconds before the next attempt; tell why, when it is new or lasts."""
        now = self._clock()
        text = str(error)
        if not self._last:
            self._began = now
        waited = now - self._began
        if text != self._last or waited >= self._due:
            self._last = text
            self._due = max(TOLD_AGAIN, 2 * waited)
            self._tell(
                "waiting for storage",
                error=text,
                waited=round(waited, 1),
                **({"backend": error.backend} if error.backend else {}),
                **({"setting": error.setting} if error.setting else {}),
            )
        delay = self._delay
        self._delay = min(LONGEST, 2 * delay)
        return delay * self._random.uniform(0.5, 1.0)

    def over(self) -> None:
        """Tell that the wait, if there was one, is over."""
        if self._last:
            self._tell("storage answers", waited=round(self._clock() - self._began, 1))


def answered(ask: Callable[[], None], stop: threading.Event, limit: float | None = None) -> bool:
    """Run ``ask`` in a thread, and raise what it raises.

    Args:
        ask: blocking.
        stop: ends the waiting for it.
        limit: seconds after which it is not waited for any more; None is for ever.

    Returns:
        False: it has not come to its end.
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

    threading.Thread(target=run, name=ASKING, daemon=True).start()
    deadline = None if limit is None else time.monotonic() + limit
    while not over.wait(HEEDED):
        if stop.is_set() or (deadline is not None and time.monotonic() > deadline):
            return False
    if raised:
        # Taken out, or error and frame keep each other alive, and the clients that the frames of
        # the error have.
        raise raised.pop()
    return True
