"""Dead letters: work that failed for good, stored with everything that a replay needs.

A dead job, ``job:12``, stays a row of the ledger. A dead event, ``event:34``, is a row of
``rolehost_dead_events``. The queue backend keeps a dead message of an ephemeral actor,
``message:56``: a Dramatiq message, or bytes that other software put into the queue.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rolehost.api.handlers import Handler
from rolehost.delivery import administration, envelope, outbox
from rolehost.failures import storable
from rolehost.storage import Database, Partition, Queue, Record, Transaction

#: Replaces the consumer group in rows of events that the stream refused.
UNPUBLISHED = "(outbox)"

_EVENT = (
    "id, consumer_group, handler, event, topic, part, position, key, headers, value, error,"
    " state, died_at, published_at, deaths"
)
#: Message options that Dramatiq's Retries middleware and delays set; a replay removes them.
_ATTEMPTS = frozenset({"retries", "traceback", "requeue_timestamp", "eta"})


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter in a listing.

    ``what`` is the actor or handler, ``origin`` the queue or ``topic/partition/offset``.
    ``died_at`` is in milliseconds. ``state`` is ``dead``, or ``replay`` while an event waits to be
    handled again.
    """

    id: str
    what: str
    origin: str
    error: str
    died_at: int
    state: str


def parse(letter: str) -> tuple[str, int]:
    """Split ``job:12``, ``event:34`` or ``message:56``. Raises ValueError for other texts."""
    kind, _, number = letter.partition(":")
    known = kind in ("job", "event", "message") and number.isdecimal() and len(number) < 20
    if not known or int(number) > 2**63 - 1:
        raise ValueError(f"a dead letter's id is job:N, event:N or message:N, not {letter!r}")
    return kind, int(number)


def add(
    tx: Transaction, handler: Handler, record: Record, event: str, error: str, now: int
) -> None:
    """Store an event after its last failed attempt; if it has a row already, count the death."""
    _insert(tx, handler.group, handler.name, record, event, error, now)


def add_unpublished(tx: Transaction, row: outbox.OutboxRow, error: str, now: int) -> None:
    """Store an event that the stream refuses, so that it does not block later events."""
    record = row.record.read_at(Partition(row.record.topic, -1), row.id, row.created_at)
    _insert(tx, UNPUBLISHED, "relay", record, envelope.identity(record), error, now)


def _insert(
    tx: Transaction,
    group: str,
    handler: str,
    record: Record,
    event: str,
    error: str,
    now: int,
) -> None:
    position = record.topic, record.partition.number, record.offset
    content = record.key, outbox.encode_headers(record.headers), record.value
    tx.execute(
        "INSERT INTO rolehost_dead_events (consumer_group, handler, event, topic, part, position,"
        " key, headers, value, error, state, died_at, published_at, deaths)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'dead', ?, ?, 1)"
        " ON CONFLICT (consumer_group, handler, topic, event) WHERE deaths > 0 DO UPDATE SET"
        " error = excluded.error, state = 'dead', died_at = excluded.died_at,"
        " deaths = rolehost_dead_events.deaths + 1",
        (group, handler, event, *position, *content, storable(error), now, record.timestamp),
    )


def listing(database: Database, *, what: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """Return dead jobs and events, newest first; ``what`` selects one actor or handler."""
    params = () if what is None else (what,)
    jobs = database.read(
        "SELECT 'job:' || id, actor, queue, coalesce(error, ''), finished_at, state"
        " FROM rolehost_jobs WHERE state = 'dead'"
        f"{'' if what is None else ' AND actor = ?'} ORDER BY finished_at DESC LIMIT ?",
        (*params, limit),
    )
    events = database.read(
        "SELECT 'event:' || id, handler, topic || '/' || part || '/' || position, error, died_at,"
        " state FROM rolehost_dead_events"
        f"{'' if what is None else ' WHERE handler = ?'} ORDER BY died_at DESC LIMIT ?",
        (*params, limit),
    )
    letters = [DeadLetter(*row) for row in (*jobs, *events)]
    letters.sort(key=lambda letter: (-letter.died_at, letter.id))
    return letters[:limit]


def show(database: Database, letter: str) -> dict[str, Any] | None:
    """Return all fields of a dead job or event, or None. Raises ValueError like :func:`parse`."""
    kind, number = parse(letter)
    if kind == "job":
        job = administration.show(database, number)
        return job if job is not None and job["state"] == "dead" else None
    rows = database.read(f"SELECT {_EVENT} FROM rolehost_dead_events WHERE id = ?", (number,))
    if not rows:
        return None
    found = dict(zip(_EVENT.split(", "), rows[0], strict=True))
    found["headers"] = _printable(outbox.decode_headers(bytes(found["headers"])))
    found["value"] = bytes(found["value"]).decode(errors="backslashreplace")
    key = found["key"]
    found["key"] = None if key is None else bytes(key).decode(errors="backslashreplace")
    return found


def _printable(headers: tuple[tuple[str, bytes], ...]) -> dict[str, str | list[str]]:
    """Return headers as texts; a name with several values has a list of them."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        printable = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        values.setdefault(printable, []).append(value.decode(errors="backslashreplace"))
    return {name: each[0] if len(each) == 1 else each for name, each in values.items()}


def replay(tx: Transaction, letter: str, now: int) -> str | None:
    """Retry a dead job or event from attempt 1; return the name for the wake-up, or None."""
    kind, number = parse(letter)
    if kind == "job":
        return administration.retry(tx, number, now, only=("dead",))
    row = tx.execute(
        "UPDATE rolehost_dead_events SET state = 'replay' WHERE id = ?"
        " RETURNING consumer_group, event, topic, key, headers, value",
        (number,),
    ).fetchone()
    if row is None:
        return None
    group, event, *record = row
    if group != UNPUBLISHED:
        return f"replay:{group}"
    outbox.append(tx, [(outbox.stored_record(*record), event)], now)
    discard(tx, letter)
    return "outbox"


def discard(tx: Transaction, letter: str) -> bool:
    """Delete a dead job or event; return whether it existed."""
    kind, number = parse(letter)
    sql = "DELETE FROM rolehost_dead_events WHERE id = ?"
    if kind == "job":
        sql = "DELETE FROM rolehost_jobs WHERE id = ? AND state = 'dead'"
    return tx.execute(sql, (number,)).rowcount == 1


def delete_replayed(tx: Transaction, number: int) -> None:
    """Delete the dead letter of an event after its replay, unless the replay failed."""
    tx.execute("DELETE FROM rolehost_dead_events WHERE id = ? AND state = 'replay'", (number,))


def events_to_replay(database: Database, group: str, limit: int) -> list[tuple[int, str, Record]]:
    """Return (row id, handler name, record) of events that wait for their replay.

    A replay that failed is parked; it is over when the event is no longer parked.
    """
    rows = database.read(
        "SELECT id, handler, part, position, published_at, topic, key, headers, value"
        " FROM rolehost_dead_events AS dead WHERE state = 'replay' AND consumer_group = ?"
        " AND NOT EXISTS (SELECT 1 FROM rolehost_parked_events AS parked"
        " JOIN rolehost_parked_keys AS lane ON lane.id = parked_key"
        " WHERE parked.event = dead.event AND lane.consumer_group = dead.consumer_group)"
        " ORDER BY id LIMIT ?",
        (group, limit),
    )
    return [
        (
            number,
            handler,
            outbox.stored_record(topic, *rest).read_at(Partition(topic, part), offset, at),
        )
        for number, handler, part, offset, at, topic, *rest in rows
    ]


def list_messages(queue: Queue, *, what: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """Return dead messages of ephemeral actors, newest first; ``what`` selects one actor."""
    letters = [
        DeadLetter(
            id=f"message:{each.number}", what=_message(each.data).get("actor_name", ""),
            origin=each.queue, error=each.reason, died_at=each.died_at, state="dead",
        )
        for each in queue.dead_messages(limit)
    ]  # fmt: skip
    return [letter for letter in letters if what is None or letter.what == what]


def show_message(queue: Queue, number: int) -> dict[str, Any] | None:
    """Return all fields of a dead message; None if the number is unknown."""
    found = queue.dead_message(number)
    if found is None:
        return None
    fields = _message(found.data)
    return {
        "id": f"message:{found.number}",
        "queue": found.queue,
        "actor": fields.get("actor_name"),
        "arguments": fields.get("kwargs"),
        "error": found.reason,
        "traceback": fields.get("options", {}).get("traceback"),
        "died_at": found.died_at,
        "data": found.data.decode(errors="replace"),
    }


def replay_message(queue: Queue, number: int) -> bool:
    """Put a dead message into its queue again and reset its attempts; return whether it existed."""
    found = queue.dead_message(number)
    if found is None:
        return False
    data, fields = found.data, _message(found.data)
    if fields:
        options = fields["options"].items()
        kept = {name: value for name, value in options if name not in _ATTEMPTS}
        data = msgspec.json.encode({**fields, "options": kept})
    return queue.replay_message(found, data)


def _message(data: bytes) -> dict[str, Any]:
    """Return the fields of a Dramatiq message; empty for other bytes."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    known = isinstance(fields.get("actor_name"), str) and isinstance(fields.get("options"), dict)
    return fields if known else {}
