"""Base classes for authors of ``queue`` backends: a queue with a store, and a listener."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from rolehost.errors import CapabilityMissing
from rolehost.storage.queue import DeadMessage, Listener, Queue

if TYPE_CHECKING:
    import dramatiq


class MessageStore(Protocol):
    """The ephemeral messages of a deployment. Thread-safe."""

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue, delayed ones included."""

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""

    def count_dead_messages(self) -> int:
        """Return how many dead messages there are."""

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return one dead message."""

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Put a dead message into its queue again; return whether it was still there."""

    def discard_message(self, number: int) -> bool:
        """Delete a dead message; return whether it was there."""


class StoredQueue(Queue):
    """A queue that keeps its ephemeral messages in a store.

    Args:
        store: the messages.
        package: the package to install if Dramatiq is missing.
    """

    def __init__(self, store: MessageStore, package: str) -> None:
        self._store = store
        self._package = package
        self._broker: dramatiq.Broker | None = None
        self._guard = threading.Lock()

    def make_broker(self) -> dramatiq.Broker:
        """Make the broker of this process. An ImportError means that Dramatiq is not installed."""
        raise NotImplementedError

    def broker(self) -> dramatiq.Broker:
        """See :meth:`Queue.broker`."""
        with self._guard:
            if self._broker is None:
                try:
                    self._broker = self.make_broker()
                except ImportError as error:
                    raise CapabilityMissing(
                        f"ephemeral messages need Dramatiq: pip install '{self._package}'"
                    ) from error
            return self._broker

    def close_broker(self) -> None:
        """Close the broker if there is one; call it first in ``close()``."""
        with self._guard:
            broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def depth(self, queue_name: str) -> int:
        """See :meth:`Queue.depth`; delayed messages count."""
        return self._store.depth(queue_name)

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """See :meth:`Queue.dead_messages`."""
        return self._store.dead_messages(limit)

    def count_dead_messages(self) -> int:
        """See :meth:`Queue.count_dead_messages`."""
        return self._store.count_dead_messages()

    def dead_message(self, number: int) -> DeadMessage | None:
        """See :meth:`Queue.dead_message`."""
        return self._store.dead_message(number)

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """See :meth:`Queue.replay_message`."""
        return self._store.replay_message(letter, data)

    def discard_message(self, number: int) -> bool:
        """See :meth:`Queue.discard_message`."""
        return self._store.discard_message(number)


class WakeListener(Listener):
    """A listener that another thread of this process wakes, for example the reader of a connection.

    Args:
        names: the names that this listener waits for.
        forget: called with this listener when it closes.
    """

    def __init__(self, names: Collection[str], forget: Callable[[WakeListener], None]) -> None:
        self.names = frozenset(names)
        self._forget = forget
        self._woken: set[str] = set()
        self._interrupted = False
        self._changed = threading.Condition()

    def wait(self, timeout: float) -> frozenset[str]:
        """See :meth:`Listener.wait`."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken or self._interrupted, timeout)
            woken = frozenset(self._woken)
            self._woken.clear()
            self._interrupted = False
            return woken

    def interrupt(self) -> None:
        """See :meth:`Listener.interrupt`."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def close(self) -> None:
        """See :meth:`Listener.close`."""
        self._forget(self)
        self.interrupt()

    def wake(self, names: Collection[str] | None) -> None:
        """Wake this listener if it waits for one of these names.

        None wakes it for all of its names: pass None if wake-ups may have been lost.
        """
        mine = self.names if names is None else self.names.intersection(names)
        with self._changed:
            self._woken |= mine
            self._changed.notify_all()
