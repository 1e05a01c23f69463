"""What the stream needs of a Kafka client; there are two."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from rolehost.api import Partition, Record, Subscription

#: A topic by its name in Kafka, and the number of one of its partitions.
Place = tuple[str, int]

#: Told of partitions that a member owns from now on, or gives up.
Told = Callable[[Collection[Partition]], None]


class Questions(Protocol):
    """Asks brokers about topics and groups; names are those in Kafka. Thread-safe.

    Every method raises StorageUnavailable or StorageRefused.
    """

    def ping(self) -> None:
        """Return when a broker answers."""

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """Return the partitions of those of the topics that exist."""

    def create(self, topic: str, partitions: int, replication: int | None) -> None:
        """Make a topic; fine when it is there already."""

    def committed(self, group: str, places: Collection[Place]) -> dict[Place, int]:
        """Return the offsets that a group has committed."""

    def ends(
        self, places: Collection[Place], which: Literal["oldest", "newest"]
    ) -> dict[Place, int]:
        """Return the first offset that is kept, or the one that comes next."""

    def close(self) -> None:
        """Close connections. Idempotent, never raises."""


class Client(Protocol):
    """A Kafka client of one process; makes nothing before it is used."""

    #: Asks the brokers.
    questions: Questions

    def publish(self, records: Sequence[Record]) -> None:
        """See :meth:`rolehost.api.Stream.publish`; topics by their names here."""

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        ensure: Callable[[], None],
        on_assigned: Told,
        on_revoked: Told,
    ) -> Subscription:
        """Return a member that joins at its first poll; ``ensure`` is called before it does."""

    def close(self) -> None:
        """Close the producer. Idempotent, never raises."""
