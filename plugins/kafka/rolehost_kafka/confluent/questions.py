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

from rolehost_kafka.client import Place, Questions
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import Heard, refused_setting
from rolehost_kafka.settings import KafkaSettings

_WHICH = {"oldest": OffsetSpec.earliest, "newest": OffsetSpec.latest}


class AdminQuestions(Questions):
    """One client for questions, made at the first of them; thread-safe.

    Args:
        settings: the plugin's settings.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._heard = Heard()
        self._lock = threading.Lock()
        self._client: Any = None
        self._answered = False

    def ping(self) -> None:
        """See :meth:`Questions.ping`."""
        self._answers("ping", lambda client, wait: [client.describe_cluster(**wait)])

    def partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        """See :meth:`Questions.partitions`."""
        return {
            each.name: sorted(part.id for part in each.partitions)
            for each in self._described(topics)
        }

    def ids(self, topics: Collection[str]) -> dict[str, str]:
        """See :meth:`Questions.ids`."""
        return {each.name: str(each.topic_id) for each in self._described(topics)}

    def _described(self, topics: Collection[str]) -> list[Any]:
        if not topics:
            return []
        # Topics that may not be described are left out: others can be used.
        return self._answers(
            "topics",
            lambda client, wait: list(
                client.describe_topics(TopicCollection(list(topics)), **wait).values()
            ),
            but={KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED},
        )

    def create(self, topic: str, partitions: int, replication: int | None) -> None:
        """See :meth:`Questions.create`."""
        wanted = NewTopic(topic, partitions, -1 if replication is None else replication)
        # Another process has created it in the meantime.
        self._answers(
            f"creating topic {topic}; see [kafka] topics, replication",
            lambda client, wait: list(client.create_topics([wanted], **wait).values()),
            but={KafkaError.TOPIC_ALREADY_EXISTS},
        )

    def committed(self, group: str, places: Collection[Place]) -> dict[Place, int]:
        """See :meth:`Questions.committed`."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
        found = self._answers(
            "lag",
            lambda client, wait: list(client.list_consumer_group_offsets([asked], **wait).values()),
            but={KafkaError.GROUP_ID_NOT_FOUND},
        )
        return {
            (place.topic, place.partition): place.offset
            for each in found
            for place in each.topic_partitions
            if place.offset >= 0
        }

    def ends(
        self, places: Collection[Place], which: Literal["oldest", "newest"]
    ) -> dict[Place, int]:
        """See :meth:`Questions.ends`."""
        order = list(places)
        found = self._answers(
            "lag",
            lambda client, wait: list(
                client.list_offsets(
                    {TopicPartition(*place): _WHICH[which]() for place in order},
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    **wait,
                ).values()
            ),
        )
        return {place: each.offset for place, each in zip(order, found, strict=True)}

    def limit(self, topic: str) -> int | None:
        """See :meth:`Questions.limit`."""
        wanted = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self._answers(
            f"configuration of topic {topic}",
            lambda client, wait: list(client.describe_configs([wanted], **wait).values()),
            but={KafkaError.UNKNOWN_TOPIC_OR_PART},
        )
        return next((int(each["max.message.bytes"].value) for each in found), None)

    def close(self) -> None:
        """See :meth:`Questions.close`."""
        with self._lock:
            self._client = None

    def _answers(
        self,
        doing: str,
        ask: Callable[[Any, dict[str, float]], list[Future[Any]]],
        but: Collection[int] = (),
    ) -> list[Any]:
        """Return the answers, without those that fail with one of the codes ``but``."""
        client = self._connected()
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
                    if error.args[0].code() not in but:
                        raise
        except KafkaException as error:
            client.poll(0)  # calls the callback with the reason
            self._forget(client)
            raise self._heard.of(self._settings, doing, error.args[0]) from error
        self._answered = True
        self._heard.connected()
        return found

    def _forget(self, client: Any) -> None:
        """Use another client next time: this one may wait for a controller that is gone."""
        with self._lock:
            if self._client is client:
                self._client = None
                self._answered = False

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    self._client = AdminClient(
                        options.administration(self._settings, self._heard.tell)
                    )
                except KafkaException as error:
                    raise refused_setting(self._settings, error) from error
            return self._client
