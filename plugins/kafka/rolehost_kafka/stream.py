"""Storage kind ``stream`` on Apache Kafka, through kafka-python."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from rolehost.api import Partition, Record, Stream, Subscription

from rolehost_kafka import abilities, options
from rolehost_kafka.administration import Administration
from rolehost_kafka.failures import connected
from rolehost_kafka.mailbox import Bridge
from rolehost_kafka.names import Names
from rolehost_kafka.publisher import Publisher
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.subscription import KafkaSubscription


class KafkaStream(Stream):
    """The stream of one process. Makes no client, and no thread, before it needs one.

    Args:
        settings: the plugin's settings.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.STREAM

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._names = Names(settings.prefix)
        self._administration = Administration(settings, self._names)
        self._publisher = Publisher(settings, self._names)
        self._subscriptions: weakref.WeakSet[KafkaSubscription] = weakref.WeakSet()
        self._guard = threading.Lock()

    def publish(self, records: Sequence[Record]) -> None:
        """See :meth:`rolehost.api.Stream.publish`.

        Raises:
            StorageUnavailable: not all were confirmed in time.
            StorageError: a record is larger than ``[kafka] max_message``.
        """
        if not records:
            return
        self._administration.ensure({record.topic for record in records})
        self._publisher.publish(records)

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

        def connect(listener: Bridge) -> Any:
            self._administration.ensure(wanted)
            consumer = connected(
                self._settings,
                KafkaConsumer,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                **options.consumer(self._settings, self._names.outside(group)),
            )
            names = [self._names.outside(topic) for topic in wanted]
            consumer.subscribe(names, listener=listener)
            # Known before it joins: else it might share out topics that it has not heard of.
            for name in names:
                consumer.partitions_for_topic(name)
            return consumer

        subscription = KafkaSubscription(
            self._names,
            connect=connect,
            ping=self.ping,
            request_timeout=self._settings.request_timeout,
            patience=self._settings.session_timeout + self._settings.request_timeout,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
        with self._guard:
            self._subscriptions.add(subscription)
        return subscription

    def lag(self, topics: Collection[str], group: str) -> int:
        """See :meth:`rolehost.api.Stream.lag`; a topic that is missing has no records."""
        return self._administration.lag(set(topics), group)

    def trim(self) -> int:
        """Return 0: the brokers drop old records themselves, as ``retention.ms`` says."""
        return 0

    def ping(self) -> None:
        """See :meth:`rolehost.api.Stream.ping`."""
        self._administration.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Stream.close`; subscriptions that are open leave."""
        with self._guard:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._publisher.close()
        self._administration.close()
