"""The cache of a process behind a circuit breaker: a dead server costs one call, not each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from rolehost.errors import StorageBusy, StorageError, StorageUnavailable
from rolehost.storage import Cache

log = logging.getLogger("rolehost.caching")

#: Seconds for which nothing is asked of a cache that failed: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Seconds between two warnings about refused values of one namespace.
_QUIET = 60.0


class CacheRecorder(Protocol):
    """Is told of the work of the cache; a part of :class:`rolehost.api.Recorder`."""

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """See :meth:`rolehost.api.Recorder.cache`."""


class Guard:
    """Lets calls through while the cache answers; after a failure one now and then.

    The pause after a failure doubles from a tenth of a second to five; the call after it is
    the probe. An outage is logged once when it begins and once when it is over. Thread-safe.

    Args:
        cache: the backend.
        recorder: is told of hits and misses; None is nobody.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        cache: Cache,
        recorder: CacheRecorder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = cache
        self.recorder = recorder
        #: Whether the last call failed; looked at before each call, without the lock.
        self.failing = False
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE
        self._closed_until = 0.0
        self._probing = False
        self._since = 0.0
        self._reason = ""
        self._spared = 0
        self._complained: dict[str, float] = {}

    def admit(self) -> bool:
        """Say whether a call may be made; while the cache fails True is for one, the probe."""
        if not self.failing:
            return True
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                self._spared += 1
                return False
            # Nobody else probes while this one may wait for its time-out.
            self._probing, self._closed_until = True, now + LONGEST_PAUSE
            return True

    def succeeded(self) -> None:
        """The cache answered; needed after a failure only."""
        with self._lock:
            if not self.failing:
                return
            self.failing = self._probing = False
            seconds, spared = self._clock() - self._since, self._spared
        log.warning("the cache is back after %.1f s; %d calls were not made", seconds, spared)

    def failed(self, namespace: str, error: StorageError) -> None:
        """A call failed: an outage when the cache is away, a complaint when it refuses."""
        if isinstance(error, StorageBusy):
            self._pause_again()
        elif isinstance(error, StorageUnavailable):
            self._away(error)
            return
        else:
            self.succeeded()  # it did answer
        self._complain(namespace, error)

    def refusal(self) -> StorageUnavailable:
        """Return the error of a call that is not made."""
        return StorageUnavailable(f"the cache did not answer lately: {self._reason}")

    def count(self, namespace: str, outcome: str, count: int = 1) -> None:
        """Tell the recorder."""
        if self.recorder is not None:
            self.recorder.cache(namespace, outcome, count)

    def _away(self, error: StorageError) -> None:
        with self._lock:
            self._reason = str(error)
            first = not self.failing
            if first:
                self.failing, self._since, self._spared = True, self._clock(), 0
                self._pause = FIRST_PAUSE
                self._closed_until = self._since + self._pause
        if first:
            log.warning("the cache is away, reads are misses and writes are dropped: %s", error)
        else:
            self._pause_again()

    def _pause_again(self) -> None:
        """Begin another pause when the probe failed; other calls that were under way do not."""
        with self._lock:
            if self._probing:
                self._probing = False
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._closed_until = self._clock() + self._pause

    def _complain(self, namespace: str, error: StorageError) -> None:
        with self._lock:
            now = self._clock()
            if now < self._complained.get(namespace, now):
                return
            self._complained[namespace] = now + _QUIET
        log.warning("the cache refuses a call of the namespace %s: %s", namespace, error)
