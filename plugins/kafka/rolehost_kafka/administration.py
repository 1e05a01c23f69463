"""Questions about topics and groups, and the making of topics."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import TopicAlreadyExistsError
from rolehost.api import StorageError, StorageUnavailable

from rolehost_kafka import options
from rolehost_kafka.failures import DRIVER_ERRORS, connected, unavailable
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings


class Administration:
    """One client for questions, made at the first of them; thread-safe.

    Args:
        settings: the plugin's settings.
        names: puts the prefix before names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._lock = threading.Lock()
        self._client: Any = None
        self._known: set[str] = set()

    def ping(self) -> None:
        """Return when a broker answers.

        Raises:
            StorageUnavailable: none does.
        """
        self._ask("ping", "describe_cluster")

    def ensure(self, topics: Collection[str]) -> None:
        """Make topics that are missing, or refuse them, as ``[kafka] topics`` says.

        Raises:
            StorageUnavailable: one is missing, or the brokers cannot be asked.
        """
        wanted = set(topics) - self._known
        if not wanted or self._settings.topics == "none":
            return
        missing = sorted(wanted - self.partitions(wanted).keys())
        if missing and self._settings.topics == "verify":
            raise StorageUnavailable(
                f"kafka: topics missing: {', '.join(map(self._names.outside, missing))}; make "
                'them, or let them be made: [kafka] topics = "create-if-missing"'
            )
        for topic in missing:
            self._create(topic)
        self._known |= wanted

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """Return the partitions of those of the topics that exist."""
        asked = {self._names.outside(topic): topic for topic in topics}
        found = self._ask("topics", "describe_topics", list(asked))
        return {
            asked[each["name"]]: sorted(part["partition_index"] for part in each["partitions"])
            for each in found
            if each["name"] in asked and each["partitions"]
        }

    def lag(self, topics: Collection[str], group: str) -> int:
        """Return how many records the group has not committed."""
        places = [
            TopicPartition(self._names.outside(topic), number)
            for topic, numbers in self.partitions(topics).items()
            for number in numbers
        ]
        if not places:
            return 0
        group = self._names.outside(group)
        committed = self._ask("lag", "list_group_offsets", {group: places}).get(group, {})
        ends = self._offsets(places, OffsetSpec.LATEST)
        starts = self._offsets(places, OffsetSpec.EARLIEST)
        total = 0
        for place in places:
            stored = committed.get(place)
            start = starts[place] if stored is None else max(stored.offset, starts[place])
            total += max(0, ends[place] - start)
        return total

    def close(self) -> None:
        """Close the client. Idempotent, never raises."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def _offsets(self, places: Collection[TopicPartition], which: object) -> dict[Any, int]:
        found = self._ask("lag", "list_partition_offsets", dict.fromkeys(places, which))
        return {place: each.offset for place, each in found.items()}

    def _create(self, topic: str) -> None:
        replication = self._settings.replication
        wanted = {
            "num_partitions": self._settings.partitions,
            "replication_factor": -1 if replication is None else replication,
        }
        # Another process that made it in the meantime has done what was wanted.
        with contextlib.suppress(TopicAlreadyExistsError):
            self._ask(
                f"creating topic {self._names.outside(topic)}; see [kafka] topics, replication",
                "create_topics",
                {self._names.outside(topic): wanted},
                wait_for_metadata=True,
            )

    def _ask(self, doing: str, question: str, *args: Any, **more: Any) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connected(
                    self._settings, KafkaAdminClient, **options.administration(self._settings)
                )
            client = self._client
        try:
            return getattr(client, question)(*args, **more)
        except TopicAlreadyExistsError:
            raise
        except StorageError:
            raise
        except DRIVER_ERRORS as error:
            raise unavailable(doing, error) from error
