"""Storage kind ``stream`` on Apache Kafka, through one of two clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from rolehost.api import (
    Partition,
    Record,
    StorageError,
    StorageUnavailable,
    Stream,
    Subscription,
)

from rolehost_kafka import abilities, failures
from rolehost_kafka.client import Client
from rolehost_kafka.logs import silence_clients
from rolehost_kafka.names import Names
from rolehost_kafka.runs import publish_runs
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.topics import Topics


class KafkaStream(Stream):
    """The stream of one process. Connections and threads are made when they are needed.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.STREAM

    def __init__(self, settings: KafkaSettings) -> None:
        names = self._names = Names(settings.prefix)
        self._settings = settings
        self._client = _make_client(settings, names)
        self._topics = Topics(settings, names, self._client.admin)
        # Kept, so that closing the stream also ends subscriptions that were not closed.
        self._subscriptions: list[Subscription] = []
        self._guard = threading.Lock()

    def publish(self, records: Sequence[Record]) -> None:
        """See :meth:`rolehost.api.Stream.publish`.

        Raises:
            StorageUnavailable: not all records were confirmed in time.
            StorageError: a record is larger than ``[kafka] max_message`` or the brokers' limit,
                or is refused for another reason that lasts.
        """
        failed = [error for error in self.publish_each(records) if error is not None]
        for error in failed:
            if isinstance(error, StorageUnavailable):
                raise error
        if failed:
            raise failed[0]

    def publish_each(self, records: Sequence[Record]) -> list[StorageError | None]:
        """See :meth:`rolehost.api.Stream.publish_each`; each record has its own answer."""
        if not records:
            return []
        topics = {record.topic for record in records}
        try:
            self._topics.ensure(topics)
            deadline = time.monotonic() + self._settings.publish_timeout
            outcomes = publish_runs(
                records,
                self._topics.max_batch_bytes,
                self._settings.batch_bytes,
                lambda run, outcomes: self._client.publisher.send(records, run, deadline, outcomes),
            )
        except StorageUnavailable as error:
            self._topics.forget(topics)
            return [error] * len(records)
        # A topic may have been deleted or configured again since it was checked.
        failed = {
            record.topic
            for record, error in zip(records, outcomes, strict=True)
            if error is not None
        }
        self._topics.forget(failed)
        return outcomes

    def subscribe(
        self,
        topics: Collection[str],
        group: str,
        *,
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> Subscription:
        """See :meth:`rolehost.api.Stream.subscribe`; joins the group at the first poll."""
        wanted = sorted(set(topics))
        known: dict[str, str] = {}
        subscription = self._client.subscribe(
            wanted,
            group,
            ensure=lambda: self._prepare_join(wanted, group, known),
            check=lambda: self._topics_changed(wanted, known),
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
        with self._guard:
            self._subscriptions.append(subscription)
        return subscription

    def _prepare_join(self, topics: Collection[str], group: str, known: dict[str, str]) -> None:
        # remove_departed() uses kafka-python, which is always installed: librdkafka cannot remove
        # members from a group.
        from rolehost_kafka.kafka_python.departed import remove_departed

        self._topics.ensure(topics)
        known.clear()
        known.update(self._topics.topic_ids(topics))
        remove_departed(self._settings, self._names.to_kafka(group))

    def _topics_changed(self, topics: Collection[str], known: dict[str, str]) -> bool:
        """Return whether one of the topics was deleted and created again.

        A deleted topic is created again if ``[kafka] topics`` says so. If a topic was created
        again, its members must join again, because their offsets mean other records there.
        """
        self._topics.forget(topics)
        self._topics.ensure(topics)
        return self._topics.topic_ids(topics) != known

    def lag(self, topics: Collection[str], group: str) -> int:
        """See :meth:`rolehost.api.Stream.lag`; a topic that is missing has no records."""
        return self._topics.lag(set(topics), group)

    def trim(self) -> int:
        """Return 0: the brokers delete old records themselves, by ``retention.ms``."""
        return 0

    def ping(self) -> None:
        """See :meth:`rolehost.api.Stream.ping`."""
        self._client.admin.ping()

    def verify(self, topics: Collection[str]) -> None:
        """See :meth:`rolehost.api.Stream.verify`; also refuses brokers that are too old."""
        failures.refuse_old_brokers(self._settings)
        if self._settings.topics == "verify":
            self._topics.ensure(topics)

    def close(self) -> None:
        """See :meth:`rolehost.api.Stream.close`; open subscriptions leave their groups."""
        with self._guard:
            subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.close()
        self._client.close()


def _make_client(settings: KafkaSettings, names: Names) -> Client:
    silence_clients()
    if settings.client == "confluent":
        from rolehost_kafka.confluent import Confluent

        return Confluent(settings, names)
    from rolehost_kafka.kafka_python import KafkaPython

    return KafkaPython(settings, names)
