"""Storage kind ``queue``: wake-ups for durable work, and the transport of ephemeral messages.

Durable jobs are rows of the service database, so a queue may lose everything it holds: a lost
wake-up costs latency (the listener's fallback poll), a doubled one nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec

from rolehost.storage.client import StorageClient

if TYPE_CHECKING:
    import dramatiq


#: The option of a message that holds the priority of its actor.
PRIORITY = "priority"


class _Options(msgspec.Struct):
    priority: int = 0


class _Message(msgspec.Struct):
    options: _Options


_decode = msgspec.json.Decoder(_Message).decode


def message_priority(data: bytes) -> int:
    """Return the priority of an ephemeral message: lower runs first; 0 if it has none.

    Args:
        data: its bytes, as Dramatiq encodes a message; or anything else.
    """
    try:
        priority = _decode(data).options.priority
    except (msgspec.DecodeError, RecursionError):
        return 0
    return max(-_FURTHEST, min(priority, _FURTHEST))


#: The most that a priority differs from 0.
_FURTHEST = 2**31 - 1

#: Most dead messages that are counted one by one.
COUNTED = 10_000


class DeadMessage(NamedTuple):
    """An ephemeral message that was given up, or that was none.

    Attributes:
        number: its own among the dead messages of the deployment.
        queue: name of the Dramatiq queue.
        reason: why.
        died_at: milliseconds since the epoch.
        data: its bytes as they were.
    """

    number: int
    queue: str
    reason: str
    died_at: int
    data: bytes


class Listener(ABC):
    """One waiter for wake-ups. Used by one thread; :meth:`interrupt` by any."""

    @abstractmethod
    def wait(self, timeout: float) -> frozenset[str]:
        """Block until a wake-up arrives or ``timeout`` seconds pass.

        Returns:
            The names that were woken, merged; empty after a timeout or an interrupt. A
            wake-up that came between two waits is returned by the next one at once.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make a running or the next :meth:`wait` return at once."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening. Idempotent, never raises."""


class Queue(StorageClient):
    """The queue transport of one process; made after the fork. Thread-safe."""

    #: What this backend can do: names of ``CAPABILITIES["queue"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def wake(self, names: Collection[str]) -> None:
        """Wake every listener of these names, in all processes. Never blocks, never raises.

        A name is ``queue:NAME``, ``topic:NAME``, or one of the host's own (``outbox``).
        """

    @abstractmethod
    def listen(self, names: Collection[str]) -> Listener:
        """Listen for these names from now on."""

    @abstractmethod
    def broker(self) -> dramatiq.Broker:
        """Make a Dramatiq broker, without middleware, that carries ephemeral messages.

        Call it once per process. Its consumers must wake without polling where the backend
        declares ``wake-up``.

        Of the messages that are due, those of the lowest :func:`message_priority` are taken
        first, and among them those that were put first.

        What a process held that died without giving it back is handed out again, and is suspect
        from then on: its proxy has ``crashes``, how many processes died after its ``start()``,
        which records that it runs from now on, and answers False when others have it or may have
        it; an acknowledgement then means nothing. Of all others ``crashes`` is None. What was
        fetched and not started is charged with nothing, what was given back neither, and what
        became a dead message begins anew when it is replayed.

        Raises:
            CapabilityMissing: the backend does not declare ``ephemeral``.
        """

    @abstractmethod
    def depth(self, queue_name: str) -> int:
        """Return how many ephemeral messages wait in a queue (taken ones excluded)."""

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return ephemeral messages that were given up, newest first.

        A backend that does not declare ``ephemeral`` has none.
        """
        del limit
        return []

    def count_dead_messages(self) -> int:
        """Return how many there are; as here, 10,000 at most.

        Asked at every scrape of metrics: a backend that can tell without reading them does so.

        Raises:
            StorageUnavailable: the queue cannot be asked.
        """
        return len(self.dead_messages(COUNTED))

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return one of them; None when there is none of that number."""
        del number
        return None

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Let one be taken again, as ``data``; say whether it was still there."""
        del letter, data
        return False

    def discard_message(self, number: int) -> bool:
        """Delete one; say whether it was there."""
        del number
        return False
