"""Who else runs while code of the backends waits: threads, or what a simulation puts in place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Interleaving:
    """What the backends in memory ask of whoever runs them; this one asks threads to wait.

    A *strand* is one line of execution: a thread here, one of many simulated ones in a
    simulation, which overrides every method.
    """

    def strand(self) -> dict[Any, Any]:
        """Return a dictionary that belongs to the calling strand alone."""
        raise NotImplementedError

    def reach(self, point: str) -> None:
        """Pass a point between two calls of the storage, where others may run."""

    def locked(self, lock: threading.Lock, timeout: float) -> bool:
        """Take a lock within ``timeout`` seconds; say whether that was possible."""
        return lock.acquire(timeout=timeout)

    def wait(self, changed: threading.Condition, until: Callable[[], bool], timeout: float) -> bool:
        """Wait, holding a condition, until something holds; at most ``timeout`` seconds."""
        return changed.wait_for(until, timeout)


class Threads(Interleaving):
    """Strands are threads of the operating system."""

    def __init__(self) -> None:
        self._local = threading.local()

    def strand(self) -> dict[Any, Any]:
        """See :meth:`Interleaving.strand`."""
        return self._local.__dict__
