"""What the stream needs of a Kafka client; there are two."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from rolehost.api import Partition, Record, Subscription

from rolehost_kafka.runs import Outcomes

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

    def ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those of the topics that exist; one that is made again has another."""

    def create(self, topic: str, partitions: int, replication: int | None) -> None:
        """Make a topic; fine when it is there already."""

    def committed(self, group: str, places: Collection[Place]) -> dict[Place, int]:
        """Return the offsets that a group has committed."""

    def ends(
        self, places: Collection[Place], which: Literal["oldest", "newest"]
    ) -> dict[Place, int]:
        """Return the first offset that is kept, or the one behind the last readable record.

        Records of open transactions, and what follows them, are not readable.
        """

    def limit(self, topic: str) -> int | None:
        """Return the most bytes of a batch that a topic takes; None if it is missing."""

    def close(self) -> None:
        """Close connections. Idempotent, never raises."""


class Client(Protocol):
    """A Kafka client of one process; makes nothing before it is used."""

    #: Asks the brokers.
    questions: Questions

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """Send records in order, and wait until every one is confirmed or has failed.

        What was not sent in time is thrown away, and is not sent later.

        Args:
            records: topics by their names here.
            run: places of those to send.
            deadline: of ``time.monotonic()``.
            outcomes: at each of the places, why the record was not stored; None if it was.

        Raises:
            StorageUnavailable: nothing was sent.
        """

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        ensure: Callable[[], None],
        check: Callable[[], bool],
        on_assigned: Told,
        on_revoked: Told,
    ) -> Subscription:
        """Return a member that joins at its first poll.

        Args:
            topics: topics to read.
            group: the group to join.
            ensure: called before it joins.
            check: called after some silence; says whether to join again, for topics were made
                anew; raises if brokers or topics are not there.
            on_assigned: called with partitions that it owns from now on.
            on_revoked: called with partitions before it gives them up, or after it lost them.
        """

    def close(self) -> None:
        """Close the producer. Idempotent, never raises."""
