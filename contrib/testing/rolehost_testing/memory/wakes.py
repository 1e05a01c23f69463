"""Wake-ups among the hosts of a world."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection

from rolehost.storage.queue import Listener

from rolehost_testing.memory.interleaving import Interleaving


class Wakes:
    """The listeners and their names; thread-safe.

    Args:
        interleaving: how threads or simulated threads wait.
    """

    def __init__(self, interleaving: Interleaving) -> None:
        self.interleaving = interleaving
        self.changed = threading.Condition()
        self._listeners: weakref.WeakSet[MemoryListener] = weakref.WeakSet()

    def wake(self, names: Collection[str]) -> None:
        """Wake every listener of these names."""
        with self.changed:
            for listener in self._listeners:
                listener.woken.update(listener.names.intersection(names))
            self.changed.notify_all()

    def listen(self, names: Collection[str]) -> MemoryListener:
        """Listen for these names from now on."""
        listener = MemoryListener(self, frozenset(names))
        with self.changed:
            self._listeners.add(listener)
        return listener

    def flush(self) -> None:
        """Drop every wake-up that no listener has taken yet."""
        with self.changed:
            for listener in self._listeners:
                listener.woken.clear()

    def forget(self, listener: MemoryListener) -> None:
        """Remove a listener."""
        with self.changed:
            self._listeners.discard(listener)


class MemoryListener(Listener):
    """Waits for wake-ups of some names.

    Attributes:
        names: the names that it listens for.
        woken: names that were woken since its last wait.
    """

    def __init__(self, wakes: Wakes, names: frozenset[str]) -> None:
        self._wakes = wakes
        self.names = names
        self.woken: set[str] = set()
        self._interrupted = False

    def wait(self, timeout: float) -> frozenset[str]:
        """See :meth:`rolehost.api.Listener.wait`."""
        changed = self._wakes.changed
        with changed:
            self._wakes.interleaving.wait(
                changed, lambda: bool(self.woken) or self._interrupted, timeout
            )
            self._interrupted = False
            woken, self.woken = frozenset(self.woken), set()
        return woken

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Listener.interrupt`."""
        with self._wakes.changed:
            self._interrupted = True
            self._wakes.changed.notify_all()

    def close(self) -> None:
        """See :meth:`rolehost.api.Listener.close`."""
        self.interrupt()
        self._wakes.forget(self)
