"""A circuit breaker for the cache of a process: a dead server does not delay every call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from rolehost.errors import StorageBusy, StorageError, StorageUnavailable
from rolehost.storage import Cache

log = logging.getLogger("rolehost.caching")

#: Seconds without calls after a failure: the first pause and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Seconds between two warnings about one namespace.
_WARNING_INTERVAL = 60.0


class CacheRecorder(Protocol):
    """Counts the work of the cache; a part of :class:`rolehost.api.Recorder`."""

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """See :meth:`rolehost.api.Recorder.cache`."""


class CircuitBreaker:
    """A circuit breaker: allows every call while the cache works, else only probes.

    After a failure no calls are made for a pause. The first call after the pause is the probe. If
    the probe fails, the next pause is twice as long, from 0.1 s up to 5 s. An outage is logged once
    when it begins and once when it ends. Thread-safe.
    """

    def __init__(
        self,
        cache: Cache,
        recorder: CacheRecorder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = cache
        self.recorder = recorder
        #: Whether the circuit breaker is open; read before each call, without the lock.
        self.failing = False
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE
        self._paused_until = 0.0
        self._probing = False
        self._since = 0.0
        self._reason = ""
        self._skipped = 0
        self._next_warning: dict[str, float] = {}

    def admit(self) -> bool:
        """Return whether a call may be made; while the cache fails, only the probe may."""
        if not self.failing:
            return True
        with self._lock:
            now = self._clock()
            if now < self._paused_until:
                self._skipped += 1
                return False
            # While this probe waits for its time-out, no other call is made.
            self._probing, self._paused_until = True, now + LONGEST_PAUSE
            return True

    def succeeded(self) -> None:
        """Record that the cache answered. Only needed after a failure."""
        with self._lock:
            if not self.failing:
                return
            self.failing = self._probing = False
            seconds, skipped = self._clock() - self._since, self._skipped
        log.warning("the cache is back after %.1f s; %d calls were not made", seconds, skipped)

    def failed(self, namespace: str, error: StorageError) -> None:
        """Record a failure.

        If the cache is unavailable, an outage begins or continues. If the cache is busy, a failed
        probe makes the pause longer. Any other error is a response, so it ends the outage. Errors
        of the last two kinds are logged at most once a minute for each namespace.
        """
        if isinstance(error, StorageBusy):
            self._pause_again()
        elif isinstance(error, StorageUnavailable):
            self._on_outage(error)
            return
        else:
            self.succeeded()
        with self._lock:
            now = self._clock()
            if now < self._next_warning.get(namespace, now):
                return
            self._next_warning[namespace] = now + _WARNING_INTERVAL
        log.warning("the cache refuses a call of the namespace %s: %s", namespace, error)

    def unavailable(self) -> StorageUnavailable:
        """Return the error for a call that is not made."""
        return StorageUnavailable(f"the cache is unavailable: {self._reason}")

    def count(self, namespace: str, outcome: str, count: int = 1) -> None:
        """Count values of a namespace with an outcome of :meth:`rolehost.api.Recorder.cache`."""
        if self.recorder is not None:
            self.recorder.cache(namespace, outcome, count)

    def _on_outage(self, error: StorageError) -> None:
        with self._lock:
            self._reason = str(error)
            first = not self.failing
            if first:
                self.failing, self._since, self._skipped = True, self._clock(), 0
                self._pause = FIRST_PAUSE
                self._paused_until = self._since + self._pause
        if first:
            log.warning(
                "the cache is unavailable, reads are misses and writes are dropped: %s", error
            )
        else:
            self._pause_again()

    def _pause_again(self) -> None:
        """Begin a longer pause if the failed call was the probe; else change nothing."""
        with self._lock:
            if self._probing:
                self._probing = False
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._paused_until = self._clock() + self._pause
