"""A loop in a thread: the base of relay, maintenance, scheduler and consumer groups."""

from __future__ import annotations

import threading
from typing import Any

import structlog

from rolehost.errors import StorageUnavailable
from rolehost.roles.outages import Outage

log = structlog.get_logger(__name__)

#: Seconds before the next try after a failure of the host or of storage.
RETRY_DELAY = 1.0


class Loop:
    """A thread that repeats a step; after an error it waits and repeats the step.

    ``bound`` are more fields of its log lines.
    """

    def __init__(self, name: str, **bound: str) -> None:
        self._bound: dict[str, Any] = {"loop": name, **bound}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self.stopping.set()
        self.interrupt()
        if self.thread.is_alive():
            self.thread.join()

    def interrupt(self) -> None:
        """Wake the thread from its wait."""

    def step(self) -> None:
        """Do the work once, and wait until there is more."""
        raise NotImplementedError

    def beat(self) -> None:
        """Report progress; called after a step that succeeded or found storage unavailable."""

    def release(self) -> None:
        """Release the resources of the steps; called in the thread after the last step."""

    def _run(self) -> None:
        outage = Outage(**self._bound)
        while not self.stopping.is_set():
            try:
                self.step()
                self.beat()
                outage.succeeded()
            except StorageUnavailable as error:
                self.beat()
                outage.failed(error)
                self.stopping.wait(RETRY_DELAY)
            except Exception:
                log.exception("loop failed, continuing", **self._bound)
                self.stopping.wait(RETRY_DELAY)
        self.release()
