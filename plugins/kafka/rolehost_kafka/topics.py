"""Topics by the names of plugins: creating missing ones, and the lag of groups."""

from __future__ import annotations

from collections.abc import Collection

from rolehost.api import StorageError

from rolehost_kafka import failures
from rolehost_kafka.client import Questions
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings


class Topics:
    """The topics of one process; thread-safe.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
        questions: asks the brokers.
    """

    def __init__(self, settings: KafkaSettings, names: Names, questions: Questions) -> None:
        self._settings = settings
        self._names = names
        self._questions = questions
        self._known: set[str] = set()
        self._limits: dict[str, int] = {}

    def ensure(self, topics: Collection[str]) -> None:
        """Create missing topics, or refuse them, as ``[kafka] topics`` says.

        Raises:
            StorageRefused: a topic is missing and may not be created.
            StorageUnavailable: the brokers do not answer.
        """
        wanted = set(topics) - self._known
        if not wanted or self._settings.topics == "none":
            return
        outside = {self._names.outside(topic) for topic in wanted}
        missing = outside - self._questions.partitions(outside).keys()
        if missing and self._settings.topics == "verify":
            raise failures.missing(missing)
        for topic in sorted(missing):
            self._questions.create(topic, self._settings.partitions, self._settings.replication)
        self._known |= wanted

    def ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of topics that exist, by their names in Kafka."""
        return self._questions.ids({self._names.outside(topic) for topic in topics})

    def forget(self, topics: Collection[str]) -> None:
        """Check topics again before they are used again."""
        self._known.difference_update(topics)
        for topic in topics:
            self._limits.pop(topic, None)

    def limit(self, topic: str) -> int:
        """Return the most bytes of a batch for a topic.

        ``[kafka] max_message`` if the topic is missing or its configuration may not be read.
        """
        known = self._limits.get(topic)
        if known is None:
            try:
                known = self._questions.limit(self._names.outside(topic))
            except StorageError:
                known = None
            if known is None:
                known = self._settings.max_message
            self._limits[topic] = known
        return known

    def lag(self, topics: Collection[str], group: str) -> int:
        """Return how many readable records the group has not committed.

        0 for a topic that is missing; records of open transactions are not readable.
        """
        found = self._questions.partitions({self._names.outside(topic) for topic in topics})
        places = [(topic, number) for topic, numbers in found.items() for number in numbers]
        if not places:
            return 0
        committed = self._questions.committed(self._names.outside(group), places)
        newest = self._questions.ends(places, "newest")
        oldest = self._questions.ends(places, "oldest")
        return sum(
            max(0, newest[place] - max(committed.get(place, 0), oldest[place])) for place in places
        )
