"""The parts of a Kafka client that the stream uses; there are two implementations."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, Protocol

from rolehost.api import Partition, Record, Subscription

from rolehost_kafka.names import Names
from rolehost_kafka.runs import Outcomes
from rolehost_kafka.settings import KafkaSettings

#: A topic by its name in Kafka, and the number of one of its partitions.
KafkaPartition = tuple[str, int]

#: Called with partitions that a member owns from now on, or gives up.
PartitionCallback = Callable[[Collection[Partition]], None]


class Admin(Protocol):
    """Asks brokers about topics and groups; names are those in Kafka. Thread-safe.

    Every method except :meth:`close` may raise StorageUnavailable or StorageRefused.
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
        """Return each partition's first offset, or the offset after its last readable record.

        Records of an open transaction, and all records after them, are not readable.
        """

    def max_batch_bytes(self, topic: str) -> int | None:
        """Return the maximum bytes of a batch for a topic; None if the topic is missing."""

    def close(self) -> None:
        """Close connections. Idempotent, never raises."""


class Publisher(ABC):
    """One idempotent producer, created at the first publication; thread-safe.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._lock = threading.Lock()
        self._producer: Any = None

    @abstractmethod
    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """Send records in order, and wait until every one is confirmed or has failed.

        Records that were not sent in time are dropped; they are not sent later.

        Args:
            records: topics without the prefix.
            run: indexes of the records to send.
            deadline: of ``time.monotonic()``.
            outcomes: gets the error of each index; None if the record was stored.

        Raises:
            StorageUnavailable: nothing was sent.
        """

    @abstractmethod
    def _create(self) -> Any:
        """Return a new producer."""

    @abstractmethod
    def _close(self, producer: Any) -> None:
        """Flush and close a producer. Never raises."""

    @abstractmethod
    def _abandon(self, producer: Any) -> None:
        """Drop the records that a producer has not sent, and close it. Never raises."""

    def close(self) -> None:
        """Flush and close. Idempotent, never raises."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            self._close(producer)

    def _get_producer(self) -> Any:
        with self._lock:
            if self._producer is None:
                self._producer = self._create()
            return self._producer

    def _discard(self, producer: Any) -> None:
        """Drop the unsent records of a producer: they must not be sent after later records."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        self._abandon(producer)


class Client(ABC):
    """The Kafka client of one process; it connects when it is first used.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
        publisher: publishes records.
        admin: asks the brokers.
    """

    def __init__(
        self, settings: KafkaSettings, names: Names, publisher: Publisher, admin: Admin
    ) -> None:
        self._settings = settings
        self._names = names
        self.publisher = publisher
        self.admin = admin

    @abstractmethod
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
        """Return a member of the group; it joins at its first poll.

        Args:
            topics: topics to read.
            group: the group to join.
            ensure: called before the member joins.
            check: called if no record has come for some time. Returns whether to join again,
                because a topic was created again; raises if brokers or topics are missing.
            on_assigned: called with new partitions.
            on_revoked: called with partitions before the member gives them up, or after it lost
                them.
        """

    def close(self) -> None:
        """Close all connections. Idempotent, never raises."""
        self.publisher.close()
        self.admin.close()
