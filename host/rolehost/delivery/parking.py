"""Parked events: a failed event, and later events of its key, wait in the service database.

So the offset of a failed event may move on, and its retry delays only later events of its key. The
events of a key are retried in their order, the first one by the retry policy of its handler.

A *lane* is a key of a topic in a consumer group; an event without a key has a lane to itself. While
a lane has parked events, the consumer parks its new events too. Only the member that reads a
partition parks its events: it knows the parked lanes from its assignment on, so it asks the
database only about events of these lanes. Another process may have removed a lane meanwhile.

Any process of the group retries parked events. It claims a lane, and each change of the lane checks
the fencing token of the claim, as for jobs. A claim ends with the presence of its process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from rolehost.delivery import outbox, queries
from rolehost.delivery.leases import skip_locked
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.statements import among, marks, numbers
from rolehost.failures import storable
from rolehost.storage import Database, Partition, Record, Transaction

#: From this number of parked events on, counted over all groups, no more are parked: failed events
#: are retried in place, so that their topics wait instead of filling the database.
MOST_PARKED = 100_000
#: Milliseconds between counts of the parked events.
_COUNT_INTERVAL = 5000
#: From this number of known lanes on, plus twice the number that the last clean-up left, those that
#: have ended are removed.
_CLEAN_FROM = 1000


class Failure(NamedTuple):
    """A failed attempt, by its number; the next one follows after ``delay`` seconds."""

    attempt: int
    delay: float
    error: str
    suspect: bool

    def stored(self) -> tuple[int, str]:
        """Return the values of the columns ``suspect`` and ``error``."""
        return int(self.suspect), storable(self.error)


class Claim(msgspec.Struct):
    """A claimed lane, with the row of its first event; ``attempt`` counts that event's failures.

    ``suspect``: a process may have died while it handled the event. ``ended``: the event was
    removed from the lane, because it was handled or became a dead letter. ``removed``: an open or
    rolled back transaction removed it, too; in its view the lane has ``more`` events.
    """

    lane: int
    topic: str
    token: int
    attempt: int
    suspect: bool
    event: int = 0
    ended: bool = False
    removed: bool = False
    more: bool = False


class Parking:
    """The parked events of one consumer group in one process; thread-safe.

    ``owner`` is the process. ``schedule`` is called with the seconds until a lane may be due.
    """

    def __init__(
        self, runtime: DeliveryRuntime, group: str, owner: str, schedule: Callable[[float], None]
    ) -> None:
        self._runtime = runtime
        self._group = group
        self._owner = owner
        self.schedule = schedule
        #: The lanes that may have parked events, if ``known``.
        self.lanes: set[bytes] = set()
        # The lanes that were added since the last clean-up began.
        self._added: set[bytes] = set()
        self._clean_from = _CLEAN_FROM
        self.known = False
        #: Whether there are too many parked events; see MOST_PARKED.
        self.full = False
        self._count_at = 0
        self._tokens: set[int] = set()

    def load(self) -> None:
        """Read the lanes that have parked events; raises StorageError."""
        database = self._runtime.database
        sql = "SELECT lane FROM rolehost_parked_keys WHERE consumer_group = ?"
        with database.session():
            self.add(bytes(lane) for (lane,) in database.read(sql, (self._group,)))
        self.known = True

    def add(self, lanes: Iterable[bytes]) -> None:
        """Add lanes that may have parked events."""
        found = set(lanes)
        self._added.update(found)
        self.lanes.update(found)

    def _clean_up(self) -> None:
        """Remove lanes that have no parked events any more, and whose keys have no new events."""
        # From here on, threads add lanes to the new set after their events are parked.
        self._added = set()
        sql = "SELECT lane FROM rolehost_parked_keys WHERE consumer_group = ?"
        rows = self._runtime.database.read(sql, (self._group,))
        parked = {bytes(lane) for (lane,) in rows}
        self.lanes.difference_update(self.lanes - parked - self._added)
        self._clean_from = 2 * len(self.lanes) + _CLEAN_FROM

    def park(
        self, tx: Transaction, lane: bytes, record: Record, event: str, failure: Failure
    ) -> None:
        """Park an event that failed."""
        run_at = self._runtime.clock.now() + int(failure.delay * 1000)
        # The row exists if the event is read again before its offset was committed.
        [number] = tx.execute(
            "INSERT INTO rolehost_parked_keys (consumer_group, topic, lane, attempt, run_at,"
            " suspect, error) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (consumer_group, lane)"
            " DO UPDATE SET run_at = rolehost_parked_keys.run_at RETURNING id",
            (self._group, record.topic, lane, failure.attempt, run_at, *failure.stored()),
        ).fetchone()
        _insert(tx, number, record, event)

    def join(self, tx: Transaction, lane: bytes, record: Record, event: str, *, full: bool) -> bool:
        """Park an event behind those of its lane, unless ``full``.

        False: the lane has no parked events any more.
        """
        database = self._runtime.database
        # Locked, so that the lane cannot be removed before this event is in it.
        lock = " FOR SHARE" if "skip-locked" in database.capabilities else ""
        row = tx.execute(
            f"SELECT id FROM rolehost_parked_keys WHERE consumer_group = ? AND lane = ?{lock}",
            (self._group, lane),
        ).fetchone()
        if row is None:
            self.lanes.discard(lane)
            return False
        if not full:
            _insert(tx, row[0], record, event)
        return True

    def due_in(self, topics: Collection[str]) -> tuple[float | None, bool]:
        """Return the seconds until a lane can be claimed, and whether any lane is claimed.

        None: no lane waits. Counts the parked events, and forgets lanes that ended, now and then.
        """
        database, now = self._runtime.database, self._runtime.clock.now()
        lanes = f"FROM rolehost_parked_keys WHERE consumer_group = ? AND topic IN ({marks(topics)})"
        params = (self._group, *topics)
        [(run_at, held)] = database.read(
            f"SELECT (SELECT min(run_at) {lanes} AND owner IS NULL),"
            f" EXISTS (SELECT 1 {lanes} AND owner IS NOT NULL)",
            params * 2,
        )
        if not self._count_at <= now < self._count_at + _COUNT_INTERVAL:
            self._count_at = now
            found = run_at is not None or held
            self.full = (count(database) if found else 0) >= MOST_PARKED
            if self.lanes and (not found or len(self.lanes) >= self._clean_from):
                self._clean_up()
        return None if run_at is None else max(0.0, (run_at - now) / 1000), bool(held)

    def claim(self, topics: Collection[str]) -> Claim | None:
        """Claim the lane that has been due for the longest time; None if no lane is due.

        A claim of a process without presence is over. So is a claim of this process that it does
        not know, because the connection failed while it was committed.
        """
        database, now = self._runtime.database, self._runtime.clock.now()
        dialect, token = database.dialect, self._runtime.random.getrandbits(63)
        sql = (
            "UPDATE rolehost_parked_keys SET owner = ?, token = ?,"
            " suspect = CASE WHEN owner IS NULL THEN suspect ELSE 1 END WHERE id ="
            " (SELECT id FROM rolehost_parked_keys WHERE consumer_group = ? AND run_at <= ?"
            f" AND topic IN ({marks(topics)}) AND (owner IS NULL OR CASE WHEN owner = ?"
            f" THEN NOT token {among(dialect)}"
            " ELSE owner NOT IN (SELECT id FROM rolehost_processes) END)"
            f" ORDER BY run_at, id LIMIT 1{skip_locked(database)})"
            " RETURNING id, topic, attempt, suspect"
        )
        known = numbers(dialect, self._tokens)
        params = (self._owner, token, self._group, now, *topics, self._owner, known)
        with database.transaction() as tx:
            row = tx.execute(sql, params).fetchone()
        if row is None:
            return None
        self._tokens.add(token)
        lane, topic, attempt, suspect = row
        return Claim(lane, topic, token, attempt, bool(suspect))

    def forget(self, claim: Claim) -> None:
        """Forget a claim that this process no longer uses."""
        self._tokens.discard(claim.token)

    def first(self, claim: Claim) -> tuple[str, Record] | None:
        """Return identity and record of the first event of a claimed lane; None if it was removed.

        The claim refers to this event from now on.
        """
        rows = self._runtime.database.read(
            "SELECT id, event, part, position, published_at, key, headers, value"
            " FROM rolehost_parked_events WHERE parked_key = ? ORDER BY id LIMIT 1",
            (claim.lane,),
        )
        if not rows:
            return None
        claim.event, event, part, offset, at, *rest = rows[0]
        claim.ended = False
        record = outbox.stored_record(claim.topic, *rest)
        return event, record.read_at(Partition(claim.topic, part), offset, at)

    def advance(self, tx: Transaction, claim: Claim, event: str, *, dead: bool = False) -> bool:
        """Remove the first event of a claimed lane; False if the claim is lost: roll back.

        If the event is a dead letter that waits for a replay, the replay is over; unless it is
        ``dead``, the dead letter is removed too.
        """
        now = self._runtime.clock.now()
        # This locks the row, so that no event joins the lane until it is removed.
        if not self._update(tx, claim, "attempt = 0, suspect = 0, error = '', run_at = ?", now):
            return False
        tx.execute("DELETE FROM rolehost_parked_events WHERE id = ?", (claim.event,))
        if not dead:
            tx.execute(
                "DELETE FROM rolehost_dead_events WHERE state = 'replay' AND consumer_group = ?"
                " AND topic = ? AND event = ?",
                (self._group, claim.topic, event),
            )
        removed = tx.execute(
            "DELETE FROM rolehost_parked_keys WHERE id = ? AND NOT EXISTS (SELECT 1"
            " FROM rolehost_parked_events WHERE parked_key = rolehost_parked_keys.id)",
            (claim.lane,),
        ).rowcount
        claim.removed, claim.more = True, not removed
        return True

    def postpone(self, tx: Transaction, claim: Claim, failure: Failure) -> None:
        """End a claim after a failed attempt."""
        run_at = self._runtime.clock.now() + int(failure.delay * 1000)
        change = "owner = NULL, attempt = ?, run_at = ?, suspect = ?, error = ?"
        self._update(tx, claim, change, failure.attempt, run_at, *failure.stored())

    def release(self, tx: Transaction, claim: Claim) -> None:
        """End a claim, so that other lanes have their turn."""
        self._update(tx, claim, "owner = NULL, run_at = ?", self._runtime.clock.now())

    def _update(self, tx: Transaction, claim: Claim, change: str, *values: int | str) -> bool:
        sql = f"UPDATE rolehost_parked_keys SET {change} WHERE id = ? AND token = ? AND owner = ?"
        return tx.execute(sql, (*values, claim.lane, claim.token, self._owner)).rowcount == 1


def lane_of(record: Record, event: str, *, alone: bool = False) -> bytes:
    """Return the lane of a record; if ``alone``, or without a key, no other event is in it."""
    key = record.key
    if key is None or alone:
        kind, name = b"event", event.encode(errors="surrogatepass")
    else:
        kind, name = b"key", key
    topic = record.topic.encode(errors="surrogatepass")
    return blake2b(b"\0".join((kind, topic, name)), digest_size=16).digest()


def count(database: Database) -> int:
    """Count the parked events of all groups; see :func:`queries.count`."""
    return queries.count(database, "rolehost_parked_events", "true")


def _insert(tx: Transaction, lane: int, record: Record, event: str) -> None:
    content = record.key, outbox.encode_headers(record.headers), record.value
    tx.execute(
        "INSERT INTO rolehost_parked_events (parked_key, event, part, position, published_at, key,"
        " headers, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event, parked_key)"
        " DO NOTHING",
        (lane, event, record.partition.number, record.offset, record.timestamp, *content),
    )
