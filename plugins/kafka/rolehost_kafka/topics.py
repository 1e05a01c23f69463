"""Topics by the names of plugins: creating missing ones, and the lag of groups."""

from __future__ import annotations

from collections.abc import Collection

from rolehost.api import StorageError

from rolehost_kafka import failures
from rolehost_kafka.client import Admin
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings


class Topics:
    """The topics of one process; thread-safe.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
        admin: asks the brokers.
    """

    def __init__(self, settings: KafkaSettings, names: Names, admin: Admin) -> None:
        self._settings = settings
        self._names = names
        self._admin = admin
        self._known: set[str] = set()
        self._limits: dict[str, int] = {}

    def ensure(self, topics: Collection[str]) -> None:
        """Create missing topics, or refuse them, as ``[kafka] topics`` says.

        Raises:
            StorageRefused: a topic is missing, and this client must not create it.
            StorageUnavailable: the brokers do not answer.
        """
        wanted = set(topics) - self._known
        if not wanted or self._settings.topics == "none":
            return
        outside = {self._names.to_kafka(topic) for topic in wanted}
        missing = outside - self._admin.partitions(outside).keys()
        if missing and self._settings.topics == "verify":
            raise failures.topics_missing(missing)
        for topic in sorted(missing):
            self._admin.create_topic(topic, self._settings.partitions, self._settings.replication)
        self._known |= wanted

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of topics that exist, by their names in Kafka."""
        return self._admin.topic_ids({self._names.to_kafka(topic) for topic in topics})

    def forget(self, topics: Collection[str]) -> None:
        """Forget topics, so that they are checked before the next use."""
        self._known.difference_update(topics)
        for topic in topics:
            self._limits.pop(topic, None)

    def max_batch_bytes(self, topic: str) -> int:
        """Return the maximum bytes of a batch for a topic.

        This is ``[kafka] max_message`` if the topic is missing or its configuration cannot be read.
        """
        known = self._limits.get(topic)
        if known is None:
            try:
                known = self._admin.max_batch_bytes(self._names.to_kafka(topic))
            except StorageError:
                known = None
            if known is None:
                known = self._settings.max_message
            self._limits[topic] = known
        return known

    def lag(self, topics: Collection[str], group: str) -> int:
        """Return how many readable records the group has not committed.

        A missing topic has none; records of open transactions are not readable.
        """
        found = self._admin.partitions({self._names.to_kafka(topic) for topic in topics})
        places = [(topic, number) for topic, numbers in found.items() for number in numbers]
        if not places:
            return 0
        committed = self._admin.committed_offsets(self._names.to_kafka(group), places)
        newest = self._admin.list_offsets(places, "newest")
        oldest = self._admin.list_offsets(places, "oldest")
        return sum(
            max(0, newest[place] - max(committed.get(place, 0), oldest[place])) for place in places
        )
