"""Dead letters: jobs and events that were given up, with all that is needed to try again.

A dead job stays a row of the ledger; a dead event is kept with its headers, value, position and
error. Both are listed, shown, replayed and discarded by one id, ``job:12`` or ``event:34``.
Those of ephemeral actors are not in the database: see :mod:`rolehost.delivery.deadmessages`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rolehost.api.contributions import Handler
from rolehost.delivery import administration, envelope
from rolehost.delivery.failures import storable
from rolehost.delivery.outbox import Waiting, append, decode_headers, encode_headers
from rolehost.storage import Database, Partition, Record, Transaction


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter in a listing.

    Attributes:
        id: ``job:N``, ``event:N`` or ``message:N``.
        what: actor, or handler.
        origin: queue, or ``topic/partition/offset``.
        error: why it was given up.
        died_at: milliseconds since the epoch.
        state: ``dead``, or ``replay`` while an event waits to be handled again.
    """

    id: str
    what: str
    origin: str
    error: str
    died_at: int
    state: str


#: Stands in for the consumer group of events that the stream itself refused.
UNPUBLISHED = "(outbox)"


def bury(
    tx: Transaction, handler: Handler, record: Record, event: str, error: str, now: int
) -> None:
    """Keep an event that a handler gave up.

    It is one dead letter, however often it is given up: after a reset of the group's offsets,
    or by a replay that failed again, the row has the new error and counts one more death.
    """
    _insert(tx, handler.group, handler.name, record, event, error, now)


def bury_unpublished(tx: Transaction, row: Waiting, error: str, now: int) -> None:
    """Keep an event that the stream refuses for what it is, so that it holds up no other."""
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
    tx.execute(
        "INSERT INTO rolehost_dead_events (consumer_group, handler, event, topic, part, position,"
        " key, headers, value, error, state, died_at, published_at, deaths)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'dead', ?, ?, 1)"
        " ON CONFLICT (consumer_group, handler, topic, event) WHERE deaths > 0 DO UPDATE SET"
        " error = excluded.error, state = 'dead', died_at = excluded.died_at,"
        " deaths = rolehost_dead_events.deaths + 1",
        (
            group,
            handler,
            event,
            record.topic,
            record.partition.number,
            record.offset,
            record.key,
            encode_headers(record.headers),
            record.value,
            storable(error),
            now,
            record.timestamp,
        ),
    )


def listing(database: Database, *, what: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """Return dead letters, newest first; ``what`` keeps those of one actor or handler."""
    name = "" if what is None else " AND actor = ?"
    params = () if what is None else (what,)
    jobs = database.read(
        "SELECT id, actor, queue, error, finished_at FROM rolehost_jobs"
        f" WHERE state = 'dead'{name} ORDER BY finished_at DESC LIMIT ?",
        (*params, limit),
    )
    where = "" if what is None else " WHERE handler = ?"
    events = database.read(
        "SELECT id, handler, topic, part, position, error, died_at, state"
        f" FROM rolehost_dead_events{where} ORDER BY died_at DESC LIMIT ?",
        (*params, limit),
    )
    letters = [
        DeadLetter(
            id=f"job:{number}",
            what=actor,
            origin=queue,
            error=error or "",
            died_at=died,
            state="dead",
        )
        for number, actor, queue, error, died in jobs
    ] + [
        DeadLetter(
            id=f"event:{number}",
            what=handler,
            origin=f"{topic}/{part}/{position}",
            error=error,
            died_at=died,
            state=state,
        )
        for number, handler, topic, part, position, error, died, state in events
    ]
    letters.sort(key=lambda letter: (-letter.died_at, letter.id))
    return letters[:limit]


def show(database: Database, letter: str) -> dict[str, Any] | None:
    """Return everything known of one dead letter; None when there is none of that id.

    Raises:
        ValueError: the id is neither ``job:N`` nor ``event:N``.
    """
    kind, number = parse(letter)
    if kind == "job":
        job = administration.show(database, number)
        return job if job is not None and job["state"] == "dead" else None
    rows = database.read(f"SELECT {_EVENT} FROM rolehost_dead_events WHERE id = ?", (number,))
    if not rows:
        return None
    found = dict(zip(_EVENT.split(", "), rows[0], strict=True))
    found["headers"] = _shown(decode_headers(bytes(found["headers"])))
    found["value"] = bytes(found["value"]).decode(errors="backslashreplace")
    key = found["key"]
    found["key"] = None if key is None else bytes(key).decode(errors="backslashreplace")
    return found


def _shown(headers: tuple[tuple[str, bytes], ...]) -> dict[str, str | list[str]]:
    """Return headers as texts; one that is there several times has a list of its values."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        printable = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        values.setdefault(printable, []).append(value.decode(errors="backslashreplace"))
    return {name: each[0] if len(each) == 1 else each for name, each in values.items()}


def replay(tx: Transaction, letter: str, now: int) -> str | None:
    """Let a dead letter be tried again, from its first attempt.

    Returns:
        The name to wake, or None when there is no dead letter of that id.
    """
    kind, number = parse(letter)
    if kind == "job":
        return administration.retry(tx, number, now, only=("dead",))
    row = tx.execute(
        "UPDATE rolehost_dead_events SET state = 'replay' WHERE id = ? RETURNING consumer_group,"
        " topic, key, headers, value, event",
        (number,),
    ).fetchone()
    if row is None:
        return None
    group, topic, key, headers, value, event = row
    if group != UNPUBLISHED:
        return f"replay:{group}"
    record = Record(
        topic, bytes(value), None if key is None else bytes(key), decode_headers(bytes(headers))
    )
    append(tx, [(record, event)], now)
    discard(tx, letter)
    return "outbox"


def discard(tx: Transaction, letter: str) -> bool:
    """Delete a dead letter; say whether there was one."""
    kind, number = parse(letter)
    if kind == "job":
        sql = "DELETE FROM rolehost_jobs WHERE id = ? AND state = 'dead'"
    else:
        sql = "DELETE FROM rolehost_dead_events WHERE id = ?"
    return tx.execute(sql, (number,)).rowcount == 1


def replayed(tx: Transaction, number: int) -> None:
    """Delete the dead letter of an event that was handled again, unless it was given up again."""
    tx.execute("DELETE FROM rolehost_dead_events WHERE id = ? AND state = 'replay'", (number,))


def to_replay(database: Database, group: str, limit: int) -> list[tuple[int, str, Record]]:
    """Return (row id, handler name, record) of events that wait to be handled again."""
    rows = database.read(
        "SELECT id, handler, topic, part, position, key, headers, value, published_at"
        " FROM rolehost_dead_events WHERE state = 'replay' AND consumer_group = ?"
        " ORDER BY id LIMIT ?",
        (group, limit),
    )
    return [
        (
            number,
            handler,
            Record(
                topic,
                bytes(value),
                None if key is None else bytes(key),
                decode_headers(bytes(headers)),
                Partition(topic, part),
                position,
                published,
            ),
        )
        for number, handler, topic, part, position, key, headers, value, published in rows
    ]


def parse(letter: str) -> tuple[str, int]:
    """Split ``job:12``, ``event:34`` or ``message:56``.

    Raises:
        ValueError: it is none of them.
    """
    kind, _, number = letter.partition(":")
    known = kind in ("job", "event", "message") and number.isdecimal() and len(number) < 20
    if not known or int(number) > 2**63 - 1:
        raise ValueError(f"a dead letter's id is job:N, event:N or message:N, not {letter!r}")
    return kind, int(number)


_EVENT = (
    "id, consumer_group, handler, event, topic, part, position, key, headers, value, error,"
    " state, died_at, published_at, deaths"
)
