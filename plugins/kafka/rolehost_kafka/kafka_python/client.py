"""kafka-python as the client of the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from rolehost.api import Subscription

from rolehost_kafka.client import Client, PartitionCallback
from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.admin import KafkaPythonAdmin
from rolehost_kafka.kafka_python.failures import make_client
from rolehost_kafka.kafka_python.lenient import make_lenient
from rolehost_kafka.kafka_python.mailbox import RebalanceListener
from rolehost_kafka.kafka_python.publisher import KafkaPythonPublisher
from rolehost_kafka.kafka_python.subscription import KafkaPythonSubscription
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings


class KafkaPython(Client):
    """The clients of one process.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        super().__init__(
            settings, names, KafkaPythonPublisher(settings, names), KafkaPythonAdmin(settings)
        )

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        ensure: Callable[[], None],
        check: Callable[[], bool],
        on_assigned: PartitionCallback,
        on_revoked: PartitionCallback,
    ) -> Subscription:
        """See :meth:`Client.subscribe`."""

        def connect(listener: RebalanceListener) -> Any:
            ensure()
            consumer = make_client(
                self._settings,
                KafkaConsumer,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                **options.consumer(self._settings, self._names.to_kafka(group)),
            )
            names = [self._names.to_kafka(topic) for topic in topics]
            make_lenient(consumer)
            consumer.subscribe(names, listener=listener)
            # Metadata is loaded before the member joins; otherwise it might assign topics without
            # their partitions.
            for name in names:
                consumer.partitions_for_topic(name)
            return consumer

        return KafkaPythonSubscription(
            self._names,
            connect=connect,
            check=check,
            request_timeout=self._settings.request_timeout,
            join_timeout=self._settings.session_timeout + self._settings.request_timeout,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
