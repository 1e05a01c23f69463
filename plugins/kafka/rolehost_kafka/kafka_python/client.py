"""kafka-python as the client of the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from rolehost.api import Record, Subscription

from rolehost_kafka.client import Client, Told
from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import connected
from rolehost_kafka.kafka_python.lenient import make_lenient
from rolehost_kafka.kafka_python.mailbox import Bridge
from rolehost_kafka.kafka_python.publisher import Publisher
from rolehost_kafka.kafka_python.questions import AdminQuestions
from rolehost_kafka.kafka_python.subscription import PolledSubscription
from rolehost_kafka.names import Names
from rolehost_kafka.runs import Outcomes
from rolehost_kafka.settings import KafkaSettings


class KafkaPython(Client):
    """The clients of one process.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._publisher = Publisher(settings, names)
        self.questions = AdminQuestions(settings)

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """See :meth:`Client.send`."""
        self._publisher.send(records, run, deadline, outcomes)

    def subscribe(
        self,
        topics: Sequence[str],
        group: str,
        *,
        ensure: Callable[[], None],
        check: Callable[[], bool],
        on_assigned: Told,
        on_revoked: Told,
    ) -> Subscription:
        """See :meth:`Client.subscribe`."""

        def connect(listener: Bridge) -> Any:
            ensure()
            consumer = connected(
                self._settings,
                KafkaConsumer,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                **options.consumer(self._settings, self._names.outside(group)),
            )
            names = [self._names.outside(topic) for topic in topics]
            make_lenient(consumer)
            consumer.subscribe(names, listener=listener)
            # Loaded before it joins, otherwise it might assign topics without their partitions.
            for name in names:
                consumer.partitions_for_topic(name)
            return consumer

        return PolledSubscription(
            self._names,
            connect=connect,
            check=check,
            request_timeout=self._settings.request_timeout,
            patience=self._settings.session_timeout + self._settings.request_timeout,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )

    def close(self) -> None:
        """See :meth:`Client.close`."""
        self._publisher.close()
