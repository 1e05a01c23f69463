"""The outbox: events wait here, in the transaction of the data, until the stream has them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from rolehost.storage import Database, Record, Transaction

#: Every row is in one of so many shards, by its key; the relays' leases divide them.
SHARDS = 256

_headers = msgspec.json.Encoder()
_parse_headers = msgspec.json.Decoder(tuple[tuple[str, bytes], ...])


class Waiting(NamedTuple):
    """A row that has not been handed to the stream."""

    id: int
    record: Record
    created_at: int


def encode_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Encode record headers for a column: JSON pairs, values in base64."""
    return _headers.encode(headers)


def decode_headers(body: bytes) -> tuple[tuple[str, bytes], ...]:
    """Decode what :func:`encode_headers` made."""
    return _parse_headers.decode(body)


def shard_of(key: bytes) -> int:
    """Return the shard of a key; stable across processes and versions."""
    return zlib.crc32(key) % SHARDS


def append(tx: Transaction, records: Sequence[tuple[Record, str]], now: int) -> None:
    """Insert records, each with the id of its event, which stands in for a missing key."""
    tx.executemany(
        "INSERT INTO rolehost_outbox (shard, topic, key, headers, value, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                shard_of(record.key if record.key is not None else event_id.encode()),
                record.topic,
                record.key,
                encode_headers(record.headers),
                record.value,
                now,
            )
            for record, event_id in records
        ],
    )


def waiting(database: Database, shards: Sequence[int], of: int, limit: int) -> list[Waiting]:
    """Return the oldest rows of the lease shards ``shards`` (of ``of``), in order."""
    where, params = "", list[int]()
    if len(shards) < of:
        where = f"WHERE shard % ? IN ({', '.join('?' * len(shards))})"
        params = [of, *shards]
    rows = database.read(
        "SELECT id, topic, key, headers, value, created_at FROM rolehost_outbox"
        f" {where} ORDER BY id LIMIT ?",
        (*params, limit),
    )
    return [
        Waiting(
            number,
            Record(topic, bytes(value), None if key is None else bytes(key), decode_headers(head)),
            created_at,
        )
        for number, topic, key, head, value, created_at in rows
    ]


def remove(tx: Transaction, rows: Sequence[Waiting]) -> None:
    """Delete rows that the stream has. Right even when a lease was lost meanwhile."""
    tx.executemany("DELETE FROM rolehost_outbox WHERE id = ?", [(row.id,) for row in rows])
