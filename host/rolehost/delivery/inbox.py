"""The inbox (*idempotent consumer*): marks of handled events, committed with the events' effects.

An event has one mark per consumer group. An HTTP request has one per idempotency key, with its
stored response. The mark is the first statement of the unit of work. So a duplicate stops before
its effects, and a second process with the same event waits for the commit of the first.

For requests the source is the IETF draft "The Idempotency-Key HTTP Header Field"
(draft-ietf-httpapi-idempotency-key-header). A repeated request gets the stored response, or 409
while the first one runs. Another request with the same key gets 422.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from rolehost import failpoints
from rolehost.delivery.guard import current
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import AlreadyHandled, Scope
from rolehost.delivery.work import Work
from rolehost.errors import IdempotencyConflict, IdempotencyInProgress
from rolehost.storage import Database, Transaction

#: Maximum number of events that one statement marks.
_MARKS = 500


def mark(tx: Transaction, group: str, event: str, now: int) -> bool:
    """Mark an event as handled by a group; False if it was marked already."""
    sql = (
        "INSERT INTO rolehost_inbox (consumer_group, event, handled_at) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING"
    )
    return tx.execute(sql, (group, event, now)).rowcount == 1


def mark_many(tx: Transaction, group: str, events: Sequence[str], now: int) -> list[bool]:
    """Mark several events; return False for each that was marked already or is repeated."""
    # All processes lock in the same order, so that two with the same events cannot deadlock.
    order = sorted(set(events))
    new = set[str]()
    for start in range(0, len(order), _MARKS):
        part = order[start : start + _MARKS]
        # PERF: values that all rows share are sent once. (SQLite needs the WHERE, because
        # otherwise it parses ON as part of a join.)
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
    """Return whether a group has handled an event."""
    sql = "SELECT 1 FROM rolehost_inbox WHERE consumer_group = ? AND event = ?"
    return bool(database.read(sql, (group, event)))


def begin(tx: Transaction, group: str, event: str, now: int) -> int:
    """Record the start of an event; return how many earlier starts had no end (crashes)."""
    row = tx.execute(
        "INSERT INTO rolehost_started_events (consumer_group, event, starts, started_at)"
        " VALUES (?, ?, 1, ?) ON CONFLICT (consumer_group, event) DO UPDATE"
        " SET starts = rolehost_started_events.starts + 1, started_at = excluded.started_at"
        " RETURNING starts",
        (group, event, now),
    ).fetchone()
    return int(row[0]) - 1


def end(tx: Transaction, group: str, event: str) -> None:
    """Forget the recorded starts of an event: its handling ended without a crash."""
    sql = "DELETE FROM rolehost_started_events WHERE consumer_group = ? AND event = ?"
    tx.execute(sql, (group, event))


class StoredResponse(NamedTuple):
    """An HTTP response kept for its idempotency key."""

    status: int
    headers: dict[str, str]
    body: bytes


class RequestScope(Scope):
    """The scope of one idempotent HTTP request, entered in a session of its thread.

    Inside ``with scope:``, read :attr:`stored`. If it is None, run the responder and call
    :meth:`store`. A block that ends without :meth:`store` is rolled back.
    """

    __slots__ = ("_fingerprint", "_key", "_token", "stored")

    def __init__(self, runtime: DeliveryRuntime, key: str, fingerprint: bytes) -> None:
        super().__init__(runtime, f"request:{key}", "an idempotent request")
        self._key = key
        self._fingerprint = fingerprint
        self.stored: StoredResponse | None = None

    def __enter__(self) -> RequestScope:
        self.stored = self._read()
        self._token = current.set(self)
        return self

    def _read(self) -> StoredResponse | None:
        rows = self._runtime.database.read(
            "SELECT fingerprint, status, headers, body FROM rolehost_requests WHERE key = ?",
            (self._key,),
        )
        if not rows:
            return None
        first, status, headers, body = rows[0]
        if bytes(first) != self._fingerprint:
            raise IdempotencyConflict("this idempotency key was used with another request")
        fields = msgspec.json.decode(bytes(headers), type=dict[str, str])
        return StoredResponse(status, fields, bytes(body))

    def on_open(self, work: Work) -> None:
        """Reserve the key. Raises AlreadyHandled if another request has reserved it meanwhile."""
        reserved = work.transaction.execute(
            "INSERT INTO rolehost_requests (key, fingerprint, created_at) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (self._key, self._fingerprint, self._runtime.clock.now()),
        ).rowcount
        if not reserved:
            raise AlreadyHandled

    def store(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Commit response and effects; IdempotencyInProgress if another request came first."""
        try:
            work = self.open()
        except AlreadyHandled:
            raise _in_progress_error() from None
        work.transaction.execute(
            "UPDATE rolehost_requests SET status = ?, headers = ?, body = ? WHERE key = ?",
            (status, msgspec.json.encode(headers), body, self._key),
        )
        self.commit()
        failpoints.reach("requests.after_commit")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        current.reset(self._token)
        self.close()
        if kind is AlreadyHandled:
            raise _in_progress_error() from None


def _in_progress_error() -> IdempotencyInProgress:
    return IdempotencyInProgress("a request with this idempotency key came first")
