"""confluent-kafka as the client of the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rolehost.api import Subscription

from rolehost_kafka.client import Client, PartitionCallback
from rolehost_kafka.confluent.admin import ConfluentAdmin
from rolehost_kafka.confluent.publisher import ConfluentPublisher
from rolehost_kafka.confluent.subscription import ConfluentSubscription
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings


class Confluent(Client):
    """The clients of one process.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        super().__init__(
            settings, names, ConfluentPublisher(settings, names), ConfluentAdmin(settings)
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

        def ready() -> None:
            # If no broker can be used, librdkafka tries again and again, without an error.
            self.admin.ping()
            ensure()

        return ConfluentSubscription(
            self._settings,
            self._names,
            topics,
            group,
            ready=ready,
            check=check,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
