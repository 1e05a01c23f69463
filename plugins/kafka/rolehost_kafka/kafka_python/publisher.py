"""The producer of a process: sends records and waits for confirmations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from rolehost.api import Record

from rolehost_kafka.client import Publisher
from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, make_client, translate_publish_error
from rolehost_kafka.runs import Outcomes, is_temporary


class KafkaPythonPublisher(Publisher):
    """See :class:`Publisher`."""

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """See :meth:`Publisher.send`."""
        producer = self._get_producer()
        reports: dict[int, Any] = {}
        for index in run:
            outcomes[index] = None
            record = records[index]
            try:
                reports[index] = producer.send(
                    self._names.to_kafka(record.topic),
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                )
            except (*DRIVER_ERRORS, TypeError, ValueError, AssertionError) as error:
                outcomes[index] = failure = translate_publish_error(error)
                if is_temporary(failure):
                    # The next record would wait as long, for the same metadata.
                    for later in run:
                        if later > index:
                            outcomes[later] = failure
                    break
        failed = False
        try:
            # Sends lingering records; then each has a report or has failed.
            producer.flush(max(0.0, deadline - time.monotonic()))
        except DRIVER_ERRORS:
            failed = True
        for index, report in reports.items():
            try:
                report.get(timeout=max(0.0, deadline - time.monotonic()))
            except (*DRIVER_ERRORS, ValueError, AssertionError) as error:
                outcomes[index] = translate_publish_error(error)
                failed = True
        if failed or any(is_temporary(outcomes[index]) for index in run):
            # After a batch that was not stored, kafka-python's producer may continue from its
            # sequence number, or send nothing more after its brokers were away (seen with
            # 3.0.12). A new one sends at once.
            self._discard(producer)

    def _create(self) -> Any:
        return make_client(self._settings, KafkaProducer, **options.producer(self._settings))

    def _close(self, producer: Any) -> None:
        try:
            producer.close(timeout=self._settings.request_timeout)
        except Exception:
            self._abandon(producer)

    def _abandon(self, producer: Any) -> None:
        # Otherwise the producer's thread would try for ever.
        with contextlib.suppress(Exception):
            producer._sender.force_close()
            producer.close(timeout=1.0)
