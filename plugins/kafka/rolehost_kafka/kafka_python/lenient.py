"""Reads records whose header names are not UTF-8.

kafka-python decodes the names while it parses a fetched batch. If a name is not UTF-8, every later
poll of the partition raises. This module decodes such bytes to surrogate escapes (PEP 383), so that
no record is lost.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecordBatch
from rolehost.api import StorageError

from rolehost_kafka.client import KafkaPartition
from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, make_client
from rolehost_kafka.settings import KafkaSettings, milliseconds

Headers = tuple[tuple[str, bytes], ...]

#: Stands for headers that could not be read.
_UNKNOWN: Headers = (("\udcff", b""),)


class _Name(str):
    """The name of a header; it encodes to its original bytes."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes, which the fetcher counts."""
        del errors
        return str.encode(self, encoding, "surrogateescape")


class _Bytes(bytearray):
    """A buffer whose parts decode any bytes."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the text, with surrogate escapes for other bytes."""
        del errors
        return _Name(bytes(self).decode(encoding, "surrogateescape"))


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch of format 2, the only one whose records have headers."""

    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            # The batch has not moved on; this record and the rest are read from the new buffer.
            self._buffer = _Bytes(self._buffer)
            return super()._read_msg()


class _Records:
    """The batches of a fetch."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def next_batch(self) -> Any:
        """Return the next batch; None after the last."""
        batch = self._records.next_batch()
        if type(batch) is DefaultRecordBatch:
            batch.__class__ = _Batch
        return batch


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Any:
        return super()._unpack_records(tp, _Records(records), *deserializers)


def make_lenient(consumer: Any) -> None:
    """Let a consumer read header names that are not UTF-8."""
    consumer._fetcher.PartitionRecords = _PartitionRecords


def plain_headers(headers: Any) -> Headers:
    """Return a record's headers as a :class:`rolehost.api.Record` has them; null is empty."""
    found = tuple(headers or ())
    for name, value in found:
        if value is None or type(name) is not str:
            return tuple((str(name), value or b"") for name, value in found)
    return found


class HeaderReader:
    """Reads headers again, for a client that cannot read names that are not UTF-8.

    Args:
        settings: the plugin's settings.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        #: The last fetch, by partition and offset, because such records often follow each other.
        self._read: dict[tuple[KafkaPartition, int], Headers] = {}

    def headers(self, place: KafkaPartition, offset: int) -> Headers:
        """Return the headers of one record.

        If they cannot be read, because brokers do not answer or the record is gone, return one
        header instead, whose name is not UTF-8.

        Args:
            place: name of the topic in Kafka, and partition.
            offset: offset of the record.
        """
        if (place, offset) not in self._read:
            try:
                self._fetch(TopicPartition(*place), offset)
            except (StorageError, *DRIVER_ERRORS):
                self._read = {}
        return self._read.get((place, offset), _UNKNOWN)

    def _fetch(self, partition: TopicPartition, offset: int) -> None:
        wanted = options.consumer(self._settings, "") | {"group_id": None}
        consumer = make_client(self._settings, KafkaConsumer, **wanted)
        try:
            make_lenient(consumer)
            consumer.assign([partition])
            consumer.seek(partition, offset)
            found = consumer.poll(timeout_ms=milliseconds(self._settings.request_timeout))
        finally:
            consumer.close()
        place = partition.topic, partition.partition
        self._read = {
            (place, record.offset): plain_headers(record.headers)
            for record in found.get(partition, ())
        }
