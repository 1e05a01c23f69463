"""The interface of a Kafka client; there are two implementations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from rolehost.api import Partition, Record, Subscription

from rolehost_kafka.runs import Outcomes

#: A topic by its name in Kafka, and the number of one of its partitions.
KafkaPartition = tuple[str, int]

#: Called with partitions that a member owns from now on, or gives up.
PartitionCallback = Callable[[Collection[Partition]], None]


class Admin(Protocol):
    """Asks brokers about topics and groups; names are those in Kafka. Thread-safe.

    Every method raises StorageUnavailable or StorageRefused.
    """

    def ping(self) -> None:
        """Return if a broker answers."""

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """Return the partitions of the topics that exist."""

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of the topics that exist; a topic that is created again has another id."""

    def create_topic(self, topic: str, partitions: int, replication: int | None) -> None:
        """Create a topic if it does not exist."""

    def committed_offsets(
        self, group: str, places: Collection[KafkaPartition]
    ) -> dict[KafkaPartition, int]:
        """Return the committed offsets of a group."""

    def list_offsets(
        self, places: Collection[KafkaPartition], which: Literal["oldest", "newest"]
    ) -> dict[KafkaPartition, int]:
        """Return the first offset, or the one after the last readable record.

        Records of open transactions, and later ones, are not readable.
        """

    def max_batch_bytes(self, topic: str) -> int | None:
        """Return the most bytes of a batch for a topic; None if the topic is missing."""

    def close(self) -> None:
        """Close connections. Idempotent, never raises."""


class Client(Protocol):
    """The Kafka client of one process; it connects when it is used first."""

    #: Asks the brokers.
    admin: Admin

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """Send records in order, and wait until every one is confirmed or has failed.

        Records that were not sent in time are dropped; they are not sent later.

        Args:
            records: topics by their names here.
            run: places of the records to send.
            deadline: of ``time.monotonic()``.
            outcomes: gets the error of each place; None if the record was stored.

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
        on_assigned: PartitionCallback,
        on_revoked: PartitionCallback,
    ) -> Subscription:
        """Return a member that joins at its first poll.

        Args:
            topics: topics to read.
            group: the group to join.
            ensure: called before it joins.
            check: called after some silence. Returns whether to join again, because a topic was
                created again; raises if brokers or topics are missing.
            on_assigned: called with new partitions.
            on_revoked: called with partitions before it gives them up, or after it lost them.
        """

    def close(self) -> None:
        """Close the producer. Idempotent, never raises."""
