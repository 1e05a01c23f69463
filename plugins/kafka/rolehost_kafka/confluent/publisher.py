"""The producer of a process: records in, confirmations awaited."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from rolehost.api import Record

from rolehost_kafka import failures
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import Heard, refused_setting
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings

#: Seconds for which reports are awaited at a time.
_STEP = 0.1

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}


class _Reports:
    """What became of the records of one call."""

    __slots__ = ("failed", "left")

    def __init__(self, count: int) -> None:
        self.left = count
        self.failed: KafkaError | None = None

    def __call__(self, error: KafkaError | None, _: object) -> None:
        # Called by whichever thread flushes, one at a time.
        self.left -= 1
        if error is not None and self.failed is None:
            self.failed = error


class Publisher:
    """One idempotent producer, made at the first publication; thread-safe.

    Args:
        settings: the plugin's settings.
        names: puts the prefix before names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._heard = Heard()
        self._lock = threading.Lock()
        self._producer: Any = None

    def publish(self, records: Sequence[Record]) -> None:
        """Send records in order and wait until every one is confirmed.

        Raises:
            StorageUnavailable: not all were confirmed within ``publish_timeout`` seconds; what
                was not sent is thrown away, and is not sent later.
            StorageError: a record is larger than ``max_message``; none of its call needs to
                have been stored.
        """
        deadline = time.monotonic() + self._settings.publish_timeout
        producer = self._current()
        reports = _Reports(len(records))
        try:
            for record in records:
                self._send(producer, record, reports, deadline)
            while reports.left and reports.failed is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                # Sends what lingers; returns when nothing of any thread is unconfirmed.
                producer.flush(min(left, _STEP))
            if reports.failed is not None:
                raise KafkaException(reports.failed)
        except KafkaException as error:
            told = error.args[0]
            if told.code() in _TOO_LARGE:
                raise failures.too_large(told.str()) from error
            self._forget(producer)
            if told.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT):
                raise failures.passing("publishing", "no answer in time") from error
            raise self._heard.of(self._settings, "publishing", told) from error
        self._heard.connected()

    def _send(self, producer: Any, record: Record, reports: _Reports, deadline: float) -> None:
        topic, headers = self._names.outside(record.topic), list(record.headers)
        while True:
            try:
                return producer.produce(
                    topic, record.value, record.key, headers=headers, on_delivery=reports
                )
            except BufferError as error:
                # Its memory is full of what others publish, or this call does.
                if time.monotonic() >= deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
                producer.flush(_STEP)

    def close(self) -> None:
        """Flush and close. Idempotent, never raises."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                producer.flush(self._settings.request_timeout)
            self._purge(producer)

    def _current(self) -> Any:
        with self._lock:
            if self._producer is None:
                try:
                    self._producer = Producer(options.producer(self._settings, self._heard.tell))
                except KafkaException as error:
                    raise refused_setting(self._settings, error) from error
            return self._producer

    def _forget(self, producer: Any) -> None:
        """Throw away what a producer has not sent: it may not come after what is sent next."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        self._purge(producer)

    def _purge(self, producer: Any) -> None:
        with contextlib.suppress(Exception):
            producer.purge()
            producer.flush(1.0)
