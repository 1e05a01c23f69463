"""Locks in the memory of one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rolehost.api import Lease


class Locks:
    """The holders of locks. Thread-safe.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[str, tuple[int, float]] = {}
        # Begins at the current time, so that tokens are above those of an earlier process.
        self._last = time.time_ns() // 1000
        self._guard = threading.Lock()

    def lock(self, name: str, ttl: float) -> Lease | None:
        """See :meth:`rolehost.api.Cache.lock`."""
        ends = self._clock() + ttl
        with self._guard:
            if self._token(name) is not None:
                return None
            self._last += 1
            self._held[name] = (self._last, ends)
            return Lease(name, self._last)

    def renew(self, lease: Lease, ttl: float) -> bool:
        """See :meth:`rolehost.api.Cache.renew`."""
        ends = self._clock() + ttl
        with self._guard:
            if self._token(lease.name) != lease.token:
                return False
            self._held[lease.name] = (lease.token, ends)
            return True

    def release(self, lease: Lease) -> bool:
        """See :meth:`rolehost.api.Cache.release`."""
        with self._guard:
            if self._token(lease.name) != lease.token:
                return False
            del self._held[lease.name]
            return True

    def _token(self, name: str) -> int | None:
        """Return the token of the lease that holds a lock now; forget a lease that has ended."""
        token, ends = self._held.get(name, (None, 0.0))
        if token is not None and ends <= self._clock():
            del self._held[name]
            return None
        return token
