"""Asks brokers through librdkafka's administration client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Literal

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from rolehost_kafka.client import Admin, KafkaPartition
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import LastError, refused_setting
from rolehost_kafka.settings import KafkaSettings

_OFFSET_SPECS = {"oldest": OffsetSpec.earliest, "newest": OffsetSpec.latest}


class ConfluentAdmin(Admin):
    """One administration client, created at its first use; thread-safe.

    Args:
        settings: the plugin's settings.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._last_error = LastError()
        self._lock = threading.Lock()
        self._client: Any = None
        self._answered = False

    def ping(self) -> None:
        """See :meth:`Admin.ping`."""
        self._ask("ping", lambda client, wait: [client.describe_cluster(**wait)])

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """See :meth:`Admin.partitions`."""
        return {
            each.name: sorted(part.id for part in each.partitions)
            for each in self._describe(topics)
        }

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """See :meth:`Admin.topic_ids`."""
        return {each.name: str(each.topic_id) for each in self._describe(topics)}

    def _describe(self, topics: Collection[str]) -> list[Any]:
        if not topics:
            return []
        # Topics that this client must not describe are left out: other topics can be used.
        return self._ask(
            "topics",
            lambda client, wait: list(
                client.describe_topics(TopicCollection(list(topics)), **wait).values()
            ),
            ignore={KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED},
        )

    def create_topic(self, topic: str, partitions: int, replication: int | None) -> None:
        """See :meth:`Admin.create_topic`."""
        wanted = NewTopic(topic, partitions, -1 if replication is None else replication)
        # Another process may have created the topic in the meantime.
        self._ask(
            f"creating topic {topic}; see [kafka] topics, replication",
            lambda client, wait: list(client.create_topics([wanted], **wait).values()),
            ignore={KafkaError.TOPIC_ALREADY_EXISTS},
        )

    def committed_offsets(
        self, group: str, places: Collection[KafkaPartition]
    ) -> dict[KafkaPartition, int]:
        """See :meth:`Admin.committed_offsets`."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
        found = self._ask(
            "lag",
            lambda client, wait: list(client.list_consumer_group_offsets([asked], **wait).values()),
            ignore={KafkaError.GROUP_ID_NOT_FOUND},
        )
        return {
            (place.topic, place.partition): place.offset
            for each in found
            for place in each.topic_partitions
            if place.offset >= 0
        }

    def list_offsets(
        self, places: Collection[KafkaPartition], which: Literal["oldest", "newest"]
    ) -> dict[KafkaPartition, int]:
        """See :meth:`Admin.list_offsets`."""
        order = list(places)
        found = self._ask(
            "lag",
            lambda client, wait: list(
                client.list_offsets(
                    {TopicPartition(*place): _OFFSET_SPECS[which]() for place in order},
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    **wait,
                ).values()
            ),
        )
        return {place: each.offset for place, each in zip(order, found, strict=True)}

    def max_batch_bytes(self, topic: str) -> int | None:
        """See :meth:`Admin.max_batch_bytes`."""
        wanted = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self._ask(
            f"configuration of topic {topic}",
            lambda client, wait: list(client.describe_configs([wanted], **wait).values()),
            ignore={KafkaError.UNKNOWN_TOPIC_OR_PART},
        )
        return next((int(each["max.message.bytes"].value) for each in found), None)

    def close(self) -> None:
        """See :meth:`Admin.close`."""
        with self._lock:
            self._client = None

    def _ask(
        self,
        doing: str,
        ask: Callable[[Any, dict[str, float]], list[Future[Any]]],
        ignore: Collection[int] = (),
    ) -> list[Any]:
        """Return the answers, without those that fail with one of the codes ``ignore``."""
        client = self._get_client()
        # The first answer needs a connection.
        timeout = (
            self._settings.request_timeout if self._answered else self._settings.connect_timeout
        )
        found = []
        try:
            for future in ask(client, {"request_timeout": timeout}):
                try:
                    found.append(future.result(timeout + 1.0))
                except KafkaException as error:
                    if error.args[0].code() not in ignore:
                        raise
        except KafkaException as error:
            client.poll(0)  # calls the callback with the reason
            self._discard(client)
            raise self._last_error.translate(self._settings, doing, error.args[0]) from error
        self._answered = True
        self._last_error.clear()
        return found

    def _discard(self, client: Any) -> None:
        """Use another client next time: this one may wait for a controller that is gone."""
        with self._lock:
            if self._client is client:
                self._client = None
                self._answered = False

    def _get_client(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    self._client = AdminClient(
                        options.administration(self._settings, self._last_error.report)
                    )
                except KafkaException as error:
                    raise refused_setting(self._settings, error) from error
            return self._client
