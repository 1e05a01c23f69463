# ruff: noqa: ARG002 - the default methods do not use their arguments
"""Storage kind ``queue``: wake-ups for durable work, and the transport of ephemeral messages.

Durable jobs are rows of the service database, so a queue may lose everything. A lost wake-up
delays work until the listener polls; a duplicate one does no harm.
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

#: Priorities are clamped to this range around 0.
_MAX_PRIORITY = 2**31 - 1


class _Options(msgspec.Struct):
    priority: int = 0


class _Message(msgspec.Struct):
    options: _Options


_decode = msgspec.json.Decoder(_Message).decode


def message_priority(data: bytes) -> int:
    """Return the priority of an ephemeral message: lower runs first; the default is 0.

    Args:
        data: the bytes of a message, as Dramatiq encodes it; other bytes have the default.
    """
    try:
        priority = _decode(data).options.priority
    except (msgspec.DecodeError, RecursionError):
        return 0
    return max(-_MAX_PRIORITY, min(priority, _MAX_PRIORITY))


#: Maximum number of dead messages that the default of ``count_dead_messages`` reads.
MAX_COUNTED = 10_000


class DeadMessage(NamedTuple):
    """An ephemeral message that failed for good, or bytes that are not a message.

    Attributes:
        number: unique among the dead messages of the deployment.
        queue: name of the Dramatiq queue.
        reason: why the message is dead.
        died_at: milliseconds since the epoch.
        data: the bytes, unchanged.
    """

    number: int
    queue: str
    reason: str
    died_at: int
    data: bytes


class Listener(ABC):
    """Waits for wake-ups. Used by one thread; any thread may call :meth:`interrupt`."""

    @abstractmethod
    def wait(self, timeout: float) -> frozenset[str]:
        """Block until a wake-up arrives or ``timeout`` seconds pass.

        Returns:
            The names that were woken, without duplicates; empty after a time-out or an
            interrupt. A wake-up that came between two waits ends the next wait at once.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make the running :meth:`wait`, or else the next one, return at once."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening. Idempotent, never raises."""


class Queue(StorageClient):
    """The queue transport of one process; made after the fork. Thread-safe."""

    #: The capabilities of the backend: names of ``CAPABILITIES["queue"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def wake(self, names: Collection[str]) -> None:
        """Wake every listener of these names, in all processes. Never blocks, never raises.

        A name is any text, for example ``queue:NAME``, ``topic:NAME``, ``outbox`` or ``leases``.
        """

    @abstractmethod
    def listen(self, names: Collection[str]) -> Listener:
        """Listen for these names from now on."""

    @abstractmethod
    def broker(self) -> dramatiq.Broker:
        """Return the Dramatiq broker of this process, without middleware; the same at each call.

        It carries ephemeral messages. If the backend declares ``wake-up``, the broker's consumers
        wake without polling. Due messages are taken in the order of their :func:`message_priority`,
        and with the same priority in the order in which they were sent.

        If a process dies, the messages that it had taken are delivered again as possible *poison
        messages*. A message proxy has two more members than Dramatiq's:

        - ``crashes``: None for a normal message. For a redelivered one, how many processes died
          after its ``start()``. A death before ``start()`` or after the message was given back
          is not counted. A dead message that is replayed begins again with a normal proxy.
        - ``start()``: records that the message runs from now on. False if this process may have
          lost the message to another one; then ``ack`` and ``nack`` have no effect.

        Raises:
            CapabilityMissing: the backend does not declare ``ephemeral``.
        """

    @abstractmethod
    def depth(self, queue_name: str) -> int:
        """Return how many ephemeral messages wait in a queue, without those that were taken."""

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return dead ephemeral messages, newest first.

        The default, without the capability ``ephemeral``, is an empty list.
        """
        return []

    def count_dead_messages(self) -> int:
        """Return the number of dead messages; the default counts up to 10,000.

        Called at every scrape of metrics, so a backend should override it if it can count
        without reading the messages.

        Raises:
            StorageUnavailable: the queue does not answer.
        """
        return len(self.dead_messages(MAX_COUNTED))

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return the dead message of this number, or None."""
        return None

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Put a dead message into its queue again, as ``data``; return whether it was there."""
        return False

    def discard_message(self, number: int) -> bool:
        """Delete a dead message; return whether it was there."""
        return False
