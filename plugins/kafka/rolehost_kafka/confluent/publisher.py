"""The producer of a process: sends records and waits for confirmations."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from rolehost.api import Record

from rolehost_kafka import failures
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import Heard, refused_setting
from rolehost_kafka.names import Names
from rolehost_kafka.runs import Outcomes, passing
from rolehost_kafka.settings import KafkaSettings

#: Seconds of one wait for reports.
_STEP = 0.1


class _Reports:
    """The outcomes of the records of one run.

    Args:
        places: of its records.
    """

    __slots__ = ("failed", "left")

    def __init__(self, places: Sequence[int]) -> None:
        #: Places of records without a report yet.
        self.left = set(places)
        self.failed: dict[int, KafkaError] = {}

    def heard(self, place: int, error: KafkaError | None, _: object = None) -> None:
        """Note a report; called by one thread at a time, one that flushes."""
        self.left.discard(place)
        if error is not None:
            self.failed[place] = error


class Publisher:
    """One idempotent producer, made at the first publication; thread-safe.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names.
    """

    def __init__(self, settings: KafkaSettings, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._heard = Heard()
        self._lock = threading.Lock()
        self._producer: Any = None

    def send(
        self, records: Sequence[Record], run: Sequence[int], deadline: float, outcomes: Outcomes
    ) -> None:
        """See :meth:`rolehost_kafka.client.Client.send`."""
        producer = self._current()
        reports = _Reports(run)
        for place in run:
            outcomes[place] = None
            try:
                self._send(producer, records[place], partial(reports.heard, place), deadline)
            except KafkaException as error:
                reports.heard(place, error.args[0])
            except (TypeError, ValueError) as error:
                reports.left.discard(place)
                outcomes[place] = failures.refused_record(f"{type(error).__name__}: {error}")
        while reports.left and (left := deadline - time.monotonic()) > 0:
            # Sends lingering records; returns when no record of any thread is unconfirmed.
            producer.flush(min(left, _STEP))
        silent = KafkaError(KafkaError._TIMED_OUT)
        failed = {**reports.failed, **dict.fromkeys(reports.left, silent)}
        for place, error in failed.items():
            outcomes[place] = self._heard.unpublished(self._settings, error)
        if any(passing(outcomes[place]) for place in failed):
            self._forget(producer)
        else:
            self._heard.connected()

    def _send(
        self, producer: Any, record: Record, heard: Callable[..., None], deadline: float
    ) -> None:
        topic, headers = self._names.outside(record.topic), list(record.headers)
        for name, _ in headers:
            # Raises for text that is not UTF-8, with which confluent-kafka 2.16 crashes.
            name.encode()
        while True:
            try:
                return producer.produce(
                    topic, record.value, record.key, headers=headers, on_delivery=heard
                )
            except BufferError as error:
                # Its memory is full of records of other calls, or of this one.
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
        """Drop the records that a producer has not sent: they may not follow later ones."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        self._purge(producer)

    def _purge(self, producer: Any) -> None:
        with contextlib.suppress(Exception):
            producer.purge()
            producer.flush(1.0)
