"""Waiting and locking of the backends: by threads, or by a simulation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Interleaving:
    """The interface with which the backends wait.

    A *strand* is one line of execution: a thread, or a simulated thread in a simulation, which
    overrides every method.
    """

    def strand(self) -> dict[Any, Any]:
        """Return a dictionary of the calling strand."""
        raise NotImplementedError

    def reach(self, point: str) -> None:
        """Pass a point between two calls of the storage, where other strands may run."""

    def locked(self, lock: threading.Lock, timeout: float) -> bool:
        """Take a lock within ``timeout`` seconds; return whether it was taken."""
        return lock.acquire(timeout=timeout)

    def wait(self, changed: threading.Condition, until: Callable[[], bool], timeout: float) -> bool:
        """Wait on a condition until a predicate is true, at most ``timeout`` seconds."""
        return changed.wait_for(until, timeout)


class Threads(Interleaving):
    """Strands are threads of the operating system."""

    def __init__(self) -> None:
        self._local = threading.local()

    def strand(self) -> dict[Any, Any]:
        """See :meth:`Interleaving.strand`."""
        return self._local.__dict__
