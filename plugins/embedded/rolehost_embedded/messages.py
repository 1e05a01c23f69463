"""The SQLite file of ephemeral messages; the service database is another file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace
from rolehost.api import DeadMessage, StorageError, Transaction, message_priority

from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.settings import EmbeddedSettings

_VERSION = 3
#: ``crashes`` is set when a process that had taken the message has died; ``started`` is 1 while a
#: process runs it. An INSERT may omit both, because processes of an older version write too.
_CRASHES = (
    "ALTER TABLE messages ADD COLUMN crashes INTEGER",
    "ALTER TABLE messages ADD COLUMN started INTEGER NOT NULL DEFAULT 0",
)
#: A message that is due has ``due`` 0. So an index finds the first one of the lowest priority among
#: any number of messages.
_PRIORITIES = (
    "ALTER TABLE messages ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX IF EXISTS messages_waiting",
    "CREATE INDEX messages_next ON messages (queue, due, priority, id) WHERE owner IS NULL",
)
_SCHEMA = (
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        due INTEGER NOT NULL,
        owner TEXT,
        data BLOB NOT NULL
    )""",
    *_CRASHES,
    *_PRIORITIES,
    "CREATE INDEX messages_taken ON messages (owner) WHERE owner IS NOT NULL",
    """CREATE TABLE dead_messages (
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        died_at INTEGER NOT NULL,
        reason TEXT NOT NULL,
        data BLOB NOT NULL
    )""",
    "CREATE INDEX dead_messages_age ON dead_messages (died_at)",
    "CREATE TABLE owners (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL)",
)
#: Statements that upgrade a file of each version; a new file has version 0.
_STEPS = {0: _SCHEMA, 1: (*_CRASHES, *_PRIORITIES), 2: _PRIORITIES}


class TakenMessage(NamedTuple):
    """A message that was taken.

    Attributes:
        id: its row.
        data: its bytes.
        crashes: how many processes died while running it; None if no process that had taken it
            died.
    """

    id: int
    data: bytes
    crashes: int | None


def milliseconds() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class MessageStore:
    """Messages that wait, messages that processes have taken, and dead messages. Thread-safe.

    Times are milliseconds since the epoch. All methods may raise ``StorageUnavailable``.

    Args:
        settings: the plugin's settings.
        clock: returns the time.
    """

    def __init__(self, settings: EmbeddedSettings, clock: Callable[[], int] = milliseconds) -> None:
        self._database = EmbeddedDatabase(
            replace(settings, path=settings.messages_path, synchronous="normal")
        )
        self._keep_dead = int(settings.keep_dead_messages * 1000)
        self.clock = clock
        self._ready = False
        self._guard = threading.Lock()

    def put(self, queue: str, data: bytes, delay: int) -> None:
        """Add a message that may be taken after ``delay`` milliseconds."""
        self._prepare()
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO messages (queue, due, data, priority) VALUES (?, ?, ?, ?)",
                (queue, self.clock() + delay if delay > 0 else 0, data, message_priority(data)),
            )

    def next_due(self, queue: str) -> int | None:
        """Return when the next message may be taken: 0 is at once, None is no message."""
        self._prepare()
        with self._database.session():
            rows = self._database.read(
                "SELECT due FROM messages WHERE queue = ? AND owner IS NULL ORDER BY due LIMIT 1",
                (queue,),
            )
        return rows[0][0] if rows else None

    def exchange(
        self, queue: str, owner: str, limit: int, finished: Sequence[int]
    ) -> list[TakenMessage]:
        """In one transaction, delete the owner's finished messages and take up to ``limit``."""
        self._prepare()
        with self._database.transaction() as transaction:
            if finished:
                transaction.executemany(
                    "DELETE FROM messages WHERE id = ? AND owner = ?",
                    [(id_, owner) for id_ in finished],
                )
            if limit <= 0:
                return []
            transaction.execute(
                "UPDATE messages SET due = 0 WHERE queue = ? AND owner IS NULL"
                " AND due > 0 AND due <= ?",
                (queue, self.clock()),
            )
            rows = transaction.execute(
                "UPDATE messages SET owner = ? WHERE id IN ("
                " SELECT id FROM messages WHERE queue = ? AND owner IS NULL AND due = 0"
                " ORDER BY priority, id LIMIT ?) RETURNING priority, id, data, crashes",
                (owner, queue, limit),
            ).fetchall()
        # Ids are unique, so nothing after them is compared.
        return [TakenMessage(*row[1:]) for row in sorted(rows)]

    def start(self, id_: int, owner: str) -> bool:
        """Record that a possible poison message runs; False if it is no longer the owner's."""
        with self._database.transaction() as transaction:
            sql = "UPDATE messages SET started = 1 WHERE id = ? AND owner = ?"
            return transaction.execute(sql, (id_, owner)).rowcount == 1

    def give_back(self, ids: Sequence[int], owner: str) -> None:
        """Give back messages of this owner, for any process."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "UPDATE messages SET owner = NULL, started = 0 WHERE id = ? AND owner = ?",
                [(id_, owner) for id_ in ids],
            )

    def move_to_dead(self, ids: Sequence[int], owner: str, reason: str) -> None:
        """Make messages of this owner dead messages."""
        with self._database.transaction() as transaction:
            for id_ in ids:
                transaction.execute(
                    "INSERT OR REPLACE INTO dead_messages (id, queue, died_at, reason, data)"
                    " SELECT id, queue, ?, ?, data FROM messages WHERE id = ? AND owner = ?",
                    (self.clock(), reason, id_, owner),
                )
                transaction.execute("DELETE FROM messages WHERE id = ? AND owner = ?", (id_, owner))

    def renew(self, owner: str, lease: int) -> list[str]:
        """Renew an owner's lease; return the messages of owners without a lease to their queues.

        A returned message is a possible poison message from then on. If it was one already and had
        started, its number of crashes rises by one. Also deletes dead messages past their
        retention.

        Args:
            lease: milliseconds from now.

        Returns:
            The queues to which messages were returned.
        """
        self._prepare()
        now = self.clock()
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO owners (id, expires_at) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at",
                (owner, now + lease),
            )
            transaction.execute("DELETE FROM owners WHERE expires_at <= ?", (now,))
            returned = transaction.execute(
                "UPDATE messages SET owner = NULL, crashes = coalesce(crashes, 0) + started,"
                " started = 0 WHERE owner IS NOT NULL"
                " AND owner NOT IN (SELECT id FROM owners) RETURNING queue"
            ).fetchall()
            transaction.execute(
                "DELETE FROM dead_messages WHERE died_at <= ?", (now - self._keep_dead,)
            )
        return sorted({queue for (queue,) in returned})

    def leave(self, owner: str) -> None:
        """End an owner's lease and return its messages."""
        with self._database.transaction() as transaction:
            transaction.execute(
                "UPDATE messages SET owner = NULL, started = 0 WHERE owner = ?", (owner,)
            )
            transaction.execute("DELETE FROM owners WHERE id = ?", (owner,))

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Count the messages that wait in a queue, with delayed ones; with ``taken``, all."""
        self._prepare()
        condition = "" if taken else " AND owner IS NULL"
        with self._database.session():
            rows = self._database.read(
                f"SELECT count(*) FROM messages WHERE queue = ?{condition}", (queue,)
            )
        count: int = rows[0][0]
        return count

    def dead_messages(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""
        return self._read_dead("ORDER BY died_at DESC, id DESC LIMIT ?", limit)

    def dead_message(self, number: int) -> DeadMessage | None:
        """Return one dead message."""
        return next(iter(self._read_dead("WHERE id = ?", number)), None)

    def _read_dead(self, which: str, param: int) -> list[DeadMessage]:
        self._prepare()
        with self._database.session():
            rows = self._database.read(
                f"SELECT id, queue, reason, died_at, data FROM dead_messages {which}", (param,)
            )
        return [DeadMessage(*row) for row in rows]

    def count_dead_messages(self) -> int:
        """Return how many dead messages there are."""
        self._prepare()
        with self._database.session():
            count: int = self._database.read("SELECT count(*) FROM dead_messages")[0][0]
        return count

    def replay_message(self, letter: DeadMessage, data: bytes) -> bool:
        """Put a dead message into its queue again, with new bytes; return whether it was there."""
        with self._database.transaction() as transaction:
            if not self._forget(transaction, letter.number):
                return False
            transaction.execute(
                "INSERT INTO messages (queue, due, data, priority) VALUES (?, 0, ?, ?)",
                (letter.queue, data, message_priority(data)),
            )
        return True

    def discard_message(self, number: int) -> bool:
        """Delete a dead message; return whether it was there."""
        self._prepare()
        with self._database.transaction() as transaction:
            return self._forget(transaction, number)

    def _forget(self, transaction: Transaction, number: int) -> bool:
        sql = "DELETE FROM dead_messages WHERE id = ?"
        return transaction.execute(sql, (number,)).rowcount == 1

    def empty(self, queue: str) -> None:
        """Delete every message that waits in a queue."""
        self._prepare()
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM messages WHERE queue = ? AND owner IS NULL", (queue,))

    def ping(self) -> None:
        """Return if the file can be read."""
        self._prepare()
        self._database.ping()

    def close(self) -> None:
        """Close the connections. Idempotent, never raises."""
        self._database.close()

    def _prepare(self) -> None:
        """Create the tables of a new file, and upgrade an older file."""
        if self._ready:
            return
        with self._guard, self._database.session():
            version = self._version()
            if version in _STEPS:
                with self._database.transaction() as transaction:
                    # Another process may have upgraded the file in the meantime.
                    steps = _STEPS.get(self._version(), ())
                    for statement in steps:
                        transaction.execute(statement)
                    if steps:
                        transaction.execute(f"PRAGMA user_version = {_VERSION}")
                version = self._version()
            if version != _VERSION:
                raise StorageError(
                    f"{self._database.path}: messages of another version ({version}, not"
                    f" {_VERSION}); drain them with that version, then remove the file"
                )
            self._ready = True

    def _version(self) -> int:
        version: int = self._database.read("PRAGMA user_version")[0][0]
        return version


def wake_name(queue_name: str) -> str:
    """Return the name that wakes the consumers of a queue's messages."""
    return f"messages:{queue_name}"
