"""Topics, their partitions and their records, in tables of the database file."""

from __future__ import annotations

import itertools
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import peewee
from rolehost.api import Delivery, Partition, Record, StorageError, Transaction

from rolehost_embedded.database import EmbeddedDatabase

#: Records removed in one transaction, so that trimming never holds writers up for long.
_TRIM_BATCH = 1000
_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])
_encode = msgspec.msgpack.Encoder().encode


class Topic(NamedTuple):
    """A topic as it stands in the tables."""

    id: int
    name: str
    partitions: int


class Topics:
    """The records of one database file. Thread-safe.

    Args:
        database: where the tables are.
        partitions: how many partitions a new topic gets.
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
        """Return a topic, made when it is new.

        Raises:
            StorageError: the tables are missing.
        """
        topic = self._known.get(name)
        if topic is None:
            try:
                with self.database.transaction() as transaction:
                    topic = self._make(transaction, name)
            except peewee.OperationalError as error:
                raise StorageError(
                    f"{self.database.path}: the stream's tables are missing; run"
                    f" `rolehost migrate up` ({error.args[0]})"
                ) from error
            self._known[name] = topic
        return topic

    def _make(self, transaction: Transaction, name: str) -> Topic:
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
        """Append records in one transaction, in order."""
        shares: dict[tuple[int, int], list[Record]] = defaultdict(list)
        for record in records:
            topic = self.get(record.topic)
            shares[topic.id, self._number(record.key, topic.partitions)].append(record)
        with self.database.transaction() as transaction:
            now = self._clock()
            for (topic_id, number), share in shares.items():
                (end,) = transaction.execute(
                    "UPDATE embedded_partitions SET next_offset = next_offset + ?"
                    " WHERE topic_id = ? AND number = ? RETURNING next_offset",
                    (len(share), topic_id, number),
                ).fetchone()
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
                            _encode(record.headers) if record.headers else None,
                            record.value,
                        )
                        for position, record in enumerate(share, end - len(share))
                    ],
                )

    def _number(self, key: bytes | None, partitions: int) -> int:
        """Return the partition of a key; the same in every process and version."""
        if key is None:
            return next(self._spread) % partitions
        return zlib.crc32(key) % partitions

    def read(self, topic: Topic, number: int, position: int, limit: int) -> list[Delivery]:
        """Return at most ``limit`` records of a partition, from a position on."""
        partition = Partition(topic.name, number)
        return [
            Delivery(
                partition=partition,
                offset=offset,
                timestamp=timestamp,
                record=Record(
                    topic=topic.name,
                    value=value,
                    key=key,
                    headers=() if headers is None else _headers.decode(headers),
                ),
            )
            for offset, timestamp, key, headers, value in self.database.read(
                "SELECT position, timestamp, key, headers, value FROM embedded_records"
                " WHERE topic_id = ? AND number = ? AND position >= ? ORDER BY position LIMIT ?",
                (topic.id, number, position, limit),
            )
        ]

    def lag(self, names: Sequence[str], group: str) -> int:
        """Return how many kept records of these topics a group has not committed."""
        places = ", ".join("?" * len(names))
        with self.database.session():
            rows = self.database.read(
                "SELECT p.next_offset, max(coalesce(o.position, 0), coalesce(("
                " SELECT min(r.position) FROM embedded_records r"
                " WHERE r.topic_id = p.topic_id AND r.number = p.number), p.next_offset))"
                " FROM embedded_partitions p JOIN embedded_topics t ON t.id = p.topic_id"
                " LEFT JOIN embedded_offsets o ON o.group_name = ?"
                " AND o.topic_id = p.topic_id AND o.number = p.number"
                f" WHERE t.name IN ({places})",
                (group, *names),
            )
        return sum(max(end - start, 0) for end, start in rows)

    def trim(self, *, oldest: int, most: int) -> int:
        """Drop records published before ``oldest``, and all but the last ``most`` of each
        partition; return how many were dropped.
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
