"""The *transactional outbox*: events wait here, committed with the data, until they are sent."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from rolehost.delivery.leases import skip_locked
from rolehost.delivery.statements import marks
from rolehost.storage import Database, Record, Transaction

#: Number of shards. The key of a row selects its shard, and the relays' leases divide the shards.
SHARDS = 256

_headers = msgspec.json.Encoder()
_parse_headers = msgspec.json.Decoder(tuple[tuple[str, bytes], ...])
#: The format if a name is not UTF-8: null, then name and value in base64.
_parse_raw_headers = msgspec.json.Decoder(tuple[tuple[None, bytes, bytes], ...])


class OutboxRow(NamedTuple):
    """A row of the outbox; the stream does not have its event yet."""

    id: int
    record: Record
    created_at: int


def encode_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Encode headers as JSON pairs with values in base64; as triples if a name is not UTF-8."""
    try:
        return _headers.encode(headers)
    except UnicodeEncodeError:
        return _headers.encode(
            [(None, name.encode(errors="surrogateescape"), value) for name, value in headers]
        )


def decode_headers(body: bytes) -> tuple[tuple[str, bytes], ...]:
    """Decode the result of :func:`encode_headers`."""
    try:
        return _parse_headers.decode(body)
    except msgspec.ValidationError:
        return tuple(
            (name.decode(errors="surrogateescape"), value)
            for _, name, value in _parse_raw_headers.decode(body)
        )


def stored_record(topic: str, key: bytes | None, headers: bytes, value: bytes) -> Record:
    """Make a record from its columns."""
    key = None if key is None else bytes(key)
    return Record(topic, bytes(value), key, decode_headers(bytes(headers)))


def append(tx: Transaction, records: Sequence[tuple[Record, str]], now: int) -> None:
    """Insert records with the ids of their events; without a key, the id selects the shard."""
    tx.executemany(
        "INSERT INTO rolehost_outbox (shard, topic, key, headers, value, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                # CRC-32 is stable across processes and versions, unlike hash().
                zlib.crc32(record.key if record.key is not None else event_id.encode()) % SHARDS,
                record.topic,
                record.key,
                encode_headers(record.headers),
                record.value,
                now,
            )
            for record, event_id in records
        ],
    )


def oldest(
    database: Database, shards: Sequence[int], of: int, limit: int, topic: str | None = None
) -> list[OutboxRow]:
    """Return the oldest rows, in order, whose shard modulo ``of`` is in ``shards``.

    ``topic``: None for all topics.
    """
    conditions, params = list[str](), list[int | str]()
    if topic is not None:
        conditions.append("topic = ?")
        params.append(topic)
    if len(shards) < of:
        conditions.append(f"shard % ? IN ({', '.join('?' * len(shards))})")
        params += [of, *shards]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = database.read(
        "SELECT id, created_at, topic, key, headers, value FROM rolehost_outbox"
        f" {where} ORDER BY id LIMIT ?",
        (*params, limit),
    )
    return [OutboxRow(number, stored_record(*row), created_at) for number, created_at, *row in rows]


def topics(database: Database) -> list[str]:
    """Return the topics for which events wait.

    A *loose index scan* by a recursive query: the cost does not depend on the number of events.
    """
    rows = database.read(
        "WITH RECURSIVE found (topic) AS ("
        " SELECT min(topic) FROM rolehost_outbox"
        " UNION ALL SELECT (SELECT min(o.topic) FROM rolehost_outbox o WHERE o.topic > found.topic)"
        " FROM found WHERE found.topic IS NOT NULL"
        ") SELECT topic FROM found WHERE topic IS NOT NULL"
    )
    return [topic for (topic,) in rows]


def remove(database: Database, tx: Transaction, rows: Sequence[OutboxRow]) -> set[int]:
    """Delete rows that the stream has stored; return the ids of those that were deleted.

    This is safe even if a lease was lost meanwhile. A row that is locked by another relay, which
    may be lost, is left.
    """
    if not rows:
        return set()
    deleted = tx.execute(
        "DELETE FROM rolehost_outbox WHERE id IN (SELECT id FROM rolehost_outbox"
        f" WHERE id IN ({marks(rows)}){skip_locked(database)}) RETURNING id",
        [row.id for row in rows],
    )
    return {number for (number,) in deleted.fetchall()}
