"""Asks brokers through kafka-python's administration client."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection
from typing import Any, Literal

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import TopicAlreadyExistsError
from kafka.protocol.consumer import IsolationLevel

from rolehost_kafka.client import Admin, KafkaPartition
from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, make_client, unavailable
from rolehost_kafka.settings import KafkaSettings

#: The maximum bytes of a batch, in a topic's configuration.
_MAX_BATCH_BYTES = "max.message.bytes"

_OFFSET_SPECS = {"oldest": OffsetSpec.EARLIEST, "newest": OffsetSpec.LATEST}


class KafkaPythonAdmin(Admin):
    """One administration client, created at its first use; thread-safe.

    Args:
        settings: the plugin's settings.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Any = None

    def ping(self) -> None:
        """See :meth:`Admin.ping`."""
        self._ask("ping", "describe_cluster")

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """See :meth:`Admin.partitions`."""
        return {
            each["name"]: sorted(part["partition_index"] for part in each["partitions"])
            for each in self._ask("topics", "describe_topics", list(topics))
            if each["name"] in topics and each["partitions"]
        }

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """See :meth:`Admin.topic_ids`."""
        return {
            each["name"]: str(each["topic_id"])
            for each in self._ask("topics", "describe_topics", list(topics))
            if each["name"] in topics and each["partitions"]
        }

    def create_topic(self, topic: str, partitions: int, replication: int | None) -> None:
        """See :meth:`Admin.create_topic`."""
        wanted = {
            "num_partitions": partitions,
            "replication_factor": -1 if replication is None else replication,
        }
        # Another process may have created the topic in the meantime.
        with contextlib.suppress(TopicAlreadyExistsError):
            self._ask(
                f"creating topic {topic}; see [kafka] topics, replication",
                "create_topics",
                {topic: wanted},
                wait_for_metadata=True,
            )

    def committed_offsets(
        self, group: str, places: Collection[KafkaPartition]
    ) -> dict[KafkaPartition, int]:
        """See :meth:`Admin.committed_offsets`."""
        wanted = [TopicPartition(*place) for place in places]
        found = self._ask("lag", "list_group_offsets", {group: wanted}).get(group, {})
        return {(place.topic, place.partition): each.offset for place, each in found.items()}

    def list_offsets(
        self, places: Collection[KafkaPartition], which: Literal["oldest", "newest"]
    ) -> dict[KafkaPartition, int]:
        """See :meth:`Admin.list_offsets`."""
        wanted = dict.fromkeys((TopicPartition(*place) for place in places), _OFFSET_SPECS[which])
        found = self._ask(
            "lag", "list_partition_offsets", wanted, isolation_level=IsolationLevel.READ_COMMITTED
        )
        return {(place.topic, place.partition): each.offset for place, each in found.items()}

    def max_batch_bytes(self, topic: str) -> int | None:
        """See :meth:`Admin.max_batch_bytes`."""
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {_MAX_BATCH_BYTES: None})
        doing = f"configuration of topic {topic}"
        found = self._ask(doing, "describe_configs", [wanted], config_filter="all")
        entry = found.get("topic", {}).get(topic, {}).get(_MAX_BATCH_BYTES)
        return None if entry is None else int(entry["value"])

    def close(self) -> None:
        """See :meth:`Admin.close`."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def _ask(self, doing: str, question: str, *args: Any, **more: Any) -> Any:
        with self._lock:
            if self._client is None:
                self._client = make_client(
                    self._settings, KafkaAdminClient, **options.administration(self._settings)
                )
            client = self._client
        try:
            return getattr(client, question)(*args, **more)
        except TopicAlreadyExistsError:
            raise
        except DRIVER_ERRORS as error:
            raise unavailable(doing, error) from error
