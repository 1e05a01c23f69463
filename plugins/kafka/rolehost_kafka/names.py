"""Names of topics and groups: plugins' on one side, with the prefix on Kafka's."""

from __future__ import annotations

from kafka import TopicPartition
from rolehost.api import Partition


class Names:
    """Puts the prefix before names and takes it off.

    Args:
        prefix: what stands before every name in Kafka; may be empty.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def outside(self, name: str) -> str:
        """Return the name that a topic or group has in Kafka."""
        return self._prefix + name

    def there(self, partition: Partition) -> TopicPartition:
        """Return a partition as kafka-python names it."""
        return TopicPartition(self._prefix + partition.topic, partition.number)

    def here(self, partition: TopicPartition) -> Partition:
        """Return a partition as plugins name it."""
        return Partition(partition.topic.removeprefix(self._prefix), partition.partition)
