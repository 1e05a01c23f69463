"""Topics, their partitions and their records, in tables of the database file."""

from __future__ import annotations

import itertools
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import peewee
from rolehost.api import Partition, Record, StorageRefused, Transaction

from rolehost_embedded.database import EmbeddedDatabase

#: Records deleted in one transaction, so that trimming does not delay writers.
_TRIM_BATCH = 1000
_decode = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
#: Decodes headers if a name is not UTF-8.
_decode_raw = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode
_encode = msgspec.msgpack.Encoder().encode


class Topic(NamedTuple):
    """A topic in the tables."""

    id: int
    name: str
    partitions: int


class _TopicGone(Exception):
    """A topic no longer exists."""


def _write_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Encode headers; if a name is not UTF-8, all names are written as bytes."""
    try:
        return _encode(headers)
    except UnicodeEncodeError:
        return _encode([(name.encode(errors="surrogateescape"), value) for name, value in headers])


def _read_headers(body: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        return _decode(body)
    except msgspec.ValidationError:
        return tuple(
            (name.decode(errors="surrogateescape"), value) for name, value in _decode_raw(body)
        )


class Topics:
    """The records of one database file. Thread-safe.

    Args:
        database: where the tables are.
        partitions: number of partitions of a new topic.
        clock: returns the milliseconds since the epoch.
    """

    def __init__(
        self, database: EmbeddedDatabase, *, partitions: int, clock: Callable[[], int]
    ) -> None:
        self.database = database
        self._partitions = partitions
        self._clock = clock
        self._known: dict[str, Topic] = {}
        self._spread = itertools.count(random.randrange(1 << 16))

    def get(self, name: str) -> Topic:
        """Return a topic; create it if it is new.

        Raises:
            StorageRefused: the tables are missing.
        """
        topic = self._known.get(name)
        if topic is None:
            with self._check_tables(), self.database.transaction() as transaction:
                topic = self._create(transaction, name)
            self._known[name] = topic
        return topic

    def reload(self, name: str) -> Topic:
        """Return a topic as it is in the tables now; create it if it is missing."""
        self._known.pop(name, None)
        return self.get(name)

    @contextmanager
    def _check_tables(self) -> Iterator[None]:
        """Raise an error with a fix if the tables are missing; a later attempt loses no record."""
        try:
            yield
        except peewee.OperationalError as error:
            raise StorageRefused(
                f"{self.database.path}: the stream's tables are missing; run"
                f" `rolehost migrate up` ({error.args[0]})",
                backend="embedded",
                setting="[embedded] path",
            ) from error

    def _create(self, transaction: Transaction, name: str) -> Topic:
        transaction.execute(
            "INSERT INTO embedded_topics (name, partitions) VALUES (?, ?)"
            " ON CONFLICT (name) DO NOTHING",
            (name, self._partitions),
        )
        topic = Topic._make(
            transaction.execute(
                "SELECT id, name, partitions FROM embedded_topics WHERE name = ?", (name,)
            ).fetchone()
        )
        transaction.executemany(
            "INSERT INTO embedded_partitions (topic_id, number) VALUES (?, ?)"
            " ON CONFLICT DO NOTHING",
            [(topic.id, number) for number in range(topic.partitions)],
        )
        return topic

    def append(self, records: Sequence[Record]) -> None:
        """Append records in one transaction, in order.

        Raises:
            StorageRefused: the tables are missing.
        """
        with self._check_tables():
            try:
                self._append(records)
            except _TopicGone:
                # The tables were emptied after the topics were read.
                self._known.clear()
                self._append(records)

    def _append(self, records: Sequence[Record]) -> None:
        shares: dict[tuple[int, int], list[Record]] = defaultdict(list)
        for record in records:
            topic = self.get(record.topic)
            shares[topic.id, self._choose_partition(record.key, topic.partitions)].append(record)
        with self.database.transaction() as transaction:
            now = self._clock()
            for (topic_id, number), share in shares.items():
                row = transaction.execute(
                    "UPDATE embedded_partitions SET next_offset = next_offset + ?"
                    " WHERE topic_id = ? AND number = ? RETURNING next_offset",
                    (len(share), topic_id, number),
                ).fetchone()
                if row is None:
                    raise _TopicGone
                (end,) = row
                transaction.executemany(
                    "INSERT INTO embedded_records"
                    " (topic_id, number, position, timestamp, key, headers, value)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            topic_id,
                            number,
                            position,
                            now,
                            record.key,
                            _write_headers(record.headers) if record.headers else None,
                            record.value,
                        )
                        for position, record in enumerate(share, end - len(share))
                    ],
                )

    def _choose_partition(self, key: bytes | None, partitions: int) -> int:
        """Return the partition of a key; the same in every process and version."""
        if key is None:
            return next(self._spread) % partitions
        return zlib.crc32(key) % partitions

    def read(self, topic: Topic, number: int, position: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records of a partition, from a position on."""
        partition = Partition(topic.name, number)
        return [
            Record(
                topic.name,
                value,
                key,
                () if headers is None else _read_headers(headers),
                partition,
                offset,
                timestamp,
            )
            for offset, timestamp, key, headers, value in self.database.read(
                "SELECT position, timestamp, key, headers, value FROM embedded_records"
                " WHERE topic_id = ? AND number = ? AND position >= ? ORDER BY position LIMIT ?",
                (topic.id, number, position, limit),
            )
        ]

    def lag(self, names: Sequence[str], group: str) -> int:
        """Return how many kept records of these topics a group has not committed."""
        marks = ", ".join("?" * len(names))
        with self.database.session():
            rows = self.database.read(
                "SELECT p.next_offset, max(coalesce(o.position, 0), coalesce(("
                " SELECT min(r.position) FROM embedded_records r"
                " WHERE r.topic_id = p.topic_id AND r.number = p.number), p.next_offset))"
                " FROM embedded_partitions p JOIN embedded_topics t ON t.id = p.topic_id"
                " LEFT JOIN embedded_offsets o ON o.group_name = ?"
                " AND o.topic_id = p.topic_id AND o.number = p.number"
                f" WHERE t.name IN ({marks})",
                (group, *names),
            )
        return sum(max(end - start, 0) for end, start in rows)

    def trim(self, *, oldest: int, most: int) -> int:
        """Delete records published before ``oldest``, and all but the last ``most`` of each
        partition; return how many were deleted.
        """
        with self.database.session():
            partitions = self.database.read(
                "SELECT topic_id, number, next_offset FROM embedded_partitions"
            )
        dropped = 0
        for topic_id, number, end in partitions:
            while batch := self._trim_once(topic_id, number, end - most, oldest):
                dropped += batch
        return dropped

    def _trim_once(self, topic_id: int, number: int, first_kept: int, oldest: int) -> int:
        with self.database.session():
            rows = self.database.read(
                "SELECT position, timestamp FROM embedded_records WHERE topic_id = ?"
                " AND number = ? ORDER BY position LIMIT ?",
                (topic_id, number, _TRIM_BATCH),
            )
        old = itertools.takewhile(lambda row: row[0] < first_kept or row[1] < oldest, rows)
        last = max((position for position, _ in old), default=None)
        if last is None:
            return 0
        with self.database.transaction() as transaction:
            return transaction.execute(
                "DELETE FROM embedded_records WHERE topic_id = ? AND number = ? AND position <= ?",
                (topic_id, number, last),
            ).rowcount
