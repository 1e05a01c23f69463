"""The producer of a process: sends records and waits for confirmations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from rolehost.api import Record

from rolehost_kafka import failures
from rolehost_kafka.client import Publisher
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import LastError, refused_setting
from rolehost_kafka.names import Names
from rolehost_kafka.runs import Outcomes, is_temporary
from rolehost_kafka.settings import KafkaSettings

#: Seconds of one wait for reports.
_POLL_STEP = 0.1


class _Reports:
    """The delivery reports of the records of one run."""

    __slots__ = ("failed", "unconfirmed")

    def __init__(self, indexes: Sequence[int]) -> None:
        #: Indexes of records without a report yet.
        self.unconfirmed = set(indexes)
        self.failed: dict[int, KafkaError] = {}

    def record(self, index: int, error: KafkaError | None, _: object = None) -> None:
        """Record a delivery report; called by the thread that flushes, one at a time."""
        self.unconfirmed.discard(index)
        if error is not None:
            self.failed[index] = error


class ConfluentPublisher(Publisher):
    """See :class:`Publisher`."""

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        super().__init__(settings, names)
        self._last_error = LastError()

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """See :meth:`Publisher.send`."""
        producer = self._get_producer()
        reports = _Reports(run)
        for index in run:
            outcomes[index] = None
            try:
                self._send(producer, records[index], partial(reports.record, index), deadline)
            except KafkaException as error:
                reports.record(index, error.args[0])
            except (TypeError, ValueError) as error:
                reports.unconfirmed.discard(index)
                outcomes[index] = failures.refused_record(f"{type(error).__name__}: {error}")
        while reports.unconfirmed and (left := deadline - time.monotonic()) > 0:
            # Sends lingering records; returns when no record of any thread is unconfirmed.
            producer.flush(min(left, _POLL_STEP))
        no_answer = KafkaError(KafkaError._TIMED_OUT)
        failed = {**reports.failed, **dict.fromkeys(reports.unconfirmed, no_answer)}
        for index, error in failed.items():
            outcomes[index] = self._last_error.translate_publish_error(self._settings, error)
        if any(is_temporary(outcomes[index]) for index in failed):
            self._discard(producer)
        else:
            self._last_error.clear()

    def _send(
        self, producer: Any, record: Record, on_delivery: Callable[..., None], deadline: float
    ) -> None:
        topic, headers = self._names.to_kafka(record.topic), list(record.headers)
        for name, _ in headers:
            # Raises for text that is not UTF-8, with which confluent-kafka 2.16 crashes.
            name.encode()
        while True:
            try:
                return producer.produce(
                    topic, record.value, record.key, headers=headers, on_delivery=on_delivery
                )
            except BufferError as error:
                # The producer's queue is full of records of this call or of others.
                if time.monotonic() >= deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
                producer.flush(_POLL_STEP)

    def _create(self) -> Any:
        try:
            return Producer(options.producer(self._settings, self._last_error.report))
        except KafkaException as error:
            raise refused_setting(self._settings, error) from error

    def _close(self, producer: Any) -> None:
        with contextlib.suppress(Exception):
            producer.flush(self._settings.request_timeout)
        self._abandon(producer)

    def _abandon(self, producer: Any) -> None:
        with contextlib.suppress(Exception):
            producer.purge()
            producer.flush(1.0)
