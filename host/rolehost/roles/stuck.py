"""Asks for the replacement of a process in which an attempt does not end after its time limit."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from rolehost.errors import StorageError
from rolehost.services import ProcessServices
from rolehost.storage import Database

log = structlog.get_logger(__name__)

#: Seconds between two checks.
CHECK_SECONDS = 0.25

#: Seconds after its interruption, or the cancellation of its coroutine, in which a job must end.
LATE_SECONDS = 2.0

#: Seconds for which a replacement waits for the database.
OUTAGE_SECONDS = 60.0

#: The most seconds that the others in a process with a stuck one have to end.
STUCK_GRACE = 5.0

#: Maximum number of frames in a logged stack.
FRAMES = 20


class Stuck(NamedTuple):
    """An attempt that goes on after its time limit; ``fields`` are those of its log lines."""

    name: str
    fields: Mapping[str, Any]
    stack: Callable[[], str]


class StuckAttempts:
    """Finds the jobs or events that go on after their time limits, in a thread of its own.

    ``find`` returns those that are :data:`LATE_SECONDS` late. ``replace`` is called once, with the
    reason. Ephemeral messages are not watched, because only their transport can end them.
    """

    def __init__(
        self,
        services: ProcessServices,
        find: Callable[[], Sequence[Stuck]],
        replace: Callable[[str], object],
    ) -> None:
        self._services = services
        self._find = find
        self._replace = replace
        self._stopping = threading.Event()
        #: Whether the process is replaced.
        self.found = False

    def watch(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._watch, name="time limits", daemon=True).start()

    def stop(self, grace: float) -> float:
        """End the thread soon; return the seconds that running attempts have, at most ``grace``."""
        self._stopping.set()
        return min(grace, STUCK_GRACE) if self.found else grace

    def _watch(self) -> None:
        away_since: float | None = None
        while not self._stopping.wait(CHECK_SECONDS):
            now = time.monotonic()
            if not self._find():
                away_since = None
            elif not answers(self._services.database):
                # Jobs may wait for the database, and their ends could not be stored.
                away_since = away_since or now
                if now - away_since >= OUTAGE_SECONDS and self._report():
                    return
            elif away_since is not None:
                away_since = None
                self._stopping.wait(LATE_SECONDS)
            elif self._report():
                return

    def _report(self) -> bool:
        """Ask for the replacement, unless all have ended just now; return whether it did."""
        stuck = self._find()
        for each in stuck:
            log.error(
                "a job or event is stuck: replacing this process",
                **each.fields,
                stack=each.stack(),
            )
        if stuck:
            self.found = True
            self._replace(f"{stuck[0].name} is stuck")
        return self.found


def answers(database: Database) -> bool:
    """Return whether the database answers a query."""
    try:
        with database.session():
            database.read("SELECT 1")
    except StorageError:
        return False
    return True


def stack_of(thread: int | None) -> str:
    """Return the stack of a thread as text; empty if it has ended."""
    frame = sys._current_frames().get(thread or 0)
    return "".join(traceback.format_stack(frame, FRAMES)) if frame else ""
