"""The inbox: marks of what was handled, committed together with its effects.

Events have a mark per consumer group, HTTP requests one per idempotency key with the stored
response. A mark is the first statement of the unit of work, so that a duplicate stops before
its effects, and a second process that handles the same event waits for the first one's commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from rolehost.errors import IdempotencyConflict, IdempotencyInProgress
from rolehost.storage import Database, Transaction

#: Events marked by one statement.
_MARKS = 500


class StoredResponse(NamedTuple):
    """An HTTP response kept for its idempotency key."""

    status: int
    headers: dict[str, str]
    body: bytes


def mark(tx: Transaction, group: str, event: str, now: int) -> bool:
    """Mark an event as handled by a group; False when it was already."""
    return (
        tx.execute(
            "INSERT INTO rolehost_inbox (consumer_group, event, handled_at) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (group, event, now),
        ).rowcount
        == 1
    )


def mark_many(tx: Transaction, group: str, events: Sequence[str], now: int) -> list[bool]:
    """Mark several events; for each, False when it was handled already or came twice."""
    # In one order everywhere, so that two processes with the same events wait for each other
    # instead of locking each other out.
    order = sorted(set(events))
    new = set[str]()
    for start in range(0, len(order), _MARKS):
        part = order[start : start + _MARKS]
        # PERF: what is the same in all rows is given once. (SQLite needs the WHERE, else it
        # takes ON for that of a join.)
        given = ", ".join(["(?)"] * len(part))
        rows = tx.execute(
            "INSERT INTO rolehost_inbox (consumer_group, event, handled_at)"
            f" WITH given (event) AS (VALUES {given}) SELECT ?, event, ? FROM given WHERE true"
            " ON CONFLICT DO NOTHING RETURNING event",
            [*part, group, now],
        ).fetchall()
        new.update(event for (event,) in rows)
    fresh = []
    for event in events:
        fresh.append(event in new)
        new.discard(event)
    return fresh


def is_marked(database: Database, group: str, event: str) -> bool:
    """Say whether a group has handled an event."""
    return bool(
        database.read(
            "SELECT 1 FROM rolehost_inbox WHERE consumer_group = ? AND event = ?", (group, event)
        )
    )


def begin(tx: Transaction, group: str, event: str, now: int) -> int:
    """Record that an event is about to be handled; return how often it was begun before."""
    row = tx.execute(
        "INSERT INTO rolehost_started_events (consumer_group, event, starts, started_at)"
        " VALUES (?, ?, 1, ?) ON CONFLICT (consumer_group, event) DO UPDATE"
        " SET starts = rolehost_started_events.starts + 1, started_at = excluded.started_at"
        " RETURNING starts",
        (group, event, now),
    ).fetchone()
    return int(row[0]) - 1


def end(tx: Transaction, group: str, event: str) -> None:
    """Forget the beginnings of an event: its handling ended without killing the process."""
    tx.execute(
        "DELETE FROM rolehost_started_events WHERE consumer_group = ? AND event = ?",
        (group, event),
    )


def stored_response(database: Database, key: str, fingerprint: bytes) -> StoredResponse | None:
    """Return the response stored for an idempotency key; None when there is none.

    Raises:
        IdempotencyConflict: the key came with another fingerprint before.
        IdempotencyInProgress: the key is there but its response is not yet.
    """
    rows = database.read(
        "SELECT fingerprint, status, headers, body FROM rolehost_requests WHERE key = ?", (key,)
    )
    if not rows:
        return None
    first, status, headers, body = rows[0]
    if bytes(first) != fingerprint:
        raise IdempotencyConflict("this idempotency key was used with another request body")
    if status is None:
        raise IdempotencyInProgress("a request with this idempotency key is running")
    return StoredResponse(
        status, msgspec.json.decode(bytes(headers), type=dict[str, str]), bytes(body)
    )


def mark_request(tx: Transaction, key: str, fingerprint: bytes, now: int) -> bool:
    """Reserve an idempotency key within a transaction; False when it is taken."""
    return (
        tx.execute(
            "INSERT INTO rolehost_requests (key, fingerprint, created_at) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (key, fingerprint, now),
        ).rowcount
        == 1
    )


def store_response(tx: Transaction, key: str, response: StoredResponse) -> None:
    """Store the response for a reserved idempotency key."""
    tx.execute(
        "UPDATE rolehost_requests SET status = ?, headers = ?, body = ? WHERE key = ?",
        (response.status, msgspec.json.encode(response.headers), response.body, key),
    )
