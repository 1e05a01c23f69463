"""Names of topics and groups: those of plugins, and those in Kafka, which have a prefix."""

from __future__ import annotations

from rolehost.api import Partition


class Names:
    """Adds the prefix to names, and removes it.

    Args:
        prefix: the beginning of every name in Kafka; may be empty.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        #: Cached, because every record has one.
        self._partitions: dict[tuple[str, int], Partition] = {}

    def to_kafka(self, name: str) -> str:
        """Return the name of a topic or group in Kafka."""
        return self._prefix + name

    def from_kafka(self, topic: str, number: int) -> Partition:
        """Return a partition as plugins name it; ``topic`` is the topic's name in Kafka."""
        partition = self._partitions.get((topic, number))
        if partition is None:
            partition = Partition(topic.removeprefix(self._prefix), number)
            self._partitions[topic, number] = partition
        return partition
