"""Names of topics and groups: plugins' on one side, with the prefix on Kafka's."""

from __future__ import annotations

from rolehost.api import Partition


class Names:
    """Puts the prefix before names and takes it off.

    Args:
        prefix: what stands before every name in Kafka; may be empty.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        #: Those that were named before: every record names one.
        self._inside: dict[tuple[str, int], Partition] = {}

    def outside(self, name: str) -> str:
        """Return the name that a topic or group has in Kafka."""
        return self._prefix + name

    def inside(self, topic: str, number: int) -> Partition:
        """Return a partition as plugins name it; ``topic`` is its name in Kafka."""
        partition = self._inside.get((topic, number))
        if partition is None:
            partition = Partition(topic.removeprefix(self._prefix), number)
            self._inside[topic, number] = partition
        return partition
