"""Renews the lease under which a process holds its ephemeral messages."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from rolehost.api import StorageUnavailable

from rolehost_embedded.messages import wake_name

if TYPE_CHECKING:
    from rolehost_embedded.broker import EmbeddedBroker


class Keeper:
    """A thread that renews the lease of this process and returns the messages of dead ones."""

    def __init__(self, broker: EmbeddedBroker, lease: float) -> None:
        self._broker = broker
        self._lease = lease
        self._renewed = float("-inf")
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure(self) -> bool:
        """See :meth:`EmbeddedBroker.ensure_lease`; the first call starts the thread."""
        if time.monotonic() - self._renewed < self._lease:
            return False
        with self._guard:
            if time.monotonic() - self._renewed >= self._lease:
                self._renew()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="rolehost-message-lease", daemon=True
                )
                self._thread.start()
        return True

    def stop(self) -> None:
        """Stop renewing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._lease / 3):
            # After a freeze the lease may have ended: then ensure() must report that to consumers.
            if time.monotonic() - self._renewed < self._lease:
                with contextlib.suppress(StorageUnavailable):
                    self._renew()

    def _renew(self) -> None:
        before = time.monotonic()
        queues = self._broker.store.renew(self._broker.owner, int(self._lease * 1000))
        self._renewed = before
        self._broker.wakes.wake([wake_name(queue) for queue in queues])
