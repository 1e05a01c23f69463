"""The SQLite file that carries ephemeral messages, apart from the service database."""

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
#: A message that a process held when it died has a count of ``crashes`` from then on, and is
#: ``started`` while one runs it. Defaults, for processes of an older version write here too.
_CRASHES = (
    "ALTER TABLE messages ADD COLUMN crashes INTEGER",
    "ALTER TABLE messages ADD COLUMN started INTEGER NOT NULL DEFAULT 0",
)
#: One that is due has ``due`` 0, so that the lowest priority is found, and among them the one that
#: was put first, however many wait.
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
#: What brings a file of a version to this one; a new file is of version 0.
_STEPS = {0: _SCHEMA, 1: (*_CRASHES, *_PRIORITIES), 2: _PRIORITIES}


class TakenMessage(NamedTuple):
    """A message as it is handed out.

    Attributes:
        id: its row.
        data: its bytes.
        crashes: how many processes died running it; None: none died that held it.
    """

    id: int
    data: bytes
    crashes: int | None


def milliseconds() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class MessageStore:
    """Messages that wait, those that processes have taken, and dead ones. Thread-safe.

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
        """Return when the next waiting message may be taken, 0 at once; None when none waits."""
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
        """Remove what the owner finished and take up to ``limit`` due messages, at once."""
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
        # No two have the same id, so that nothing after it is compared.
        return [TakenMessage(*row[1:]) for row in sorted(rows)]

    def start(self, id_: int, owner: str) -> bool:
        """Record that a suspect runs from now on; False: it is no longer the owner's."""
        with self._database.transaction() as transaction:
            sql = "UPDATE messages SET started = 1 WHERE id = ? AND owner = ?"
            return transaction.execute(sql, (id_, owner)).rowcount == 1

    def give_back(self, ids: Sequence[int], owner: str) -> None:
        """Let others take messages that this owner had taken."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "UPDATE messages SET owner = NULL, started = 0 WHERE id = ? AND owner = ?",
                [(id_, owner) for id_ in ids],
            )

    def bury(self, ids: Sequence[int], owner: str, reason: str) -> None:
        """Make messages that this owner had taken dead ones."""
        with self._database.transaction() as transaction:
            for id_ in ids:
                transaction.execute(
                    "INSERT OR REPLACE INTO dead_messages (id, queue, died_at, reason, data)"
                    " SELECT id, queue, ?, ?, data FROM messages WHERE id = ? AND owner = ?",
                    (self.clock(), reason, id_, owner),
                )
                transaction.execute("DELETE FROM messages WHERE id = ? AND owner = ?", (id_, owner))

    def renew(self, owner: str, lease: int) -> list[str]:
        """Renew an owner's lease; return to the queues what owners without one had taken.

        That is suspect from then on; what of it was suspect and had started is charged with a
        crash. Also drops dead messages past their time.

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
        """End an owner's lease and return what it had taken."""
        with self._database.transaction() as transaction:
            transaction.execute(
                "UPDATE messages SET owner = NULL, started = 0 WHERE owner = ?", (owner,)
            )
            transaction.execute("DELETE FROM owners WHERE id = ?", (owner,))

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """Count the messages that wait in a queue, delayed ones too; ``taken``: all."""
        self._prepare()
        condition = "" if taken else " AND owner IS NULL"
        with self._database.session():
            rows = self._database.read(
                f"SELECT count(*) FROM messages WHERE queue = ?{condition}", (queue,)
            )
        count: int = rows[0][0]
        return count

    def dead(self, limit: int) -> list[DeadMessage]:
        """Return dead messages, newest first."""
        return self._dead("ORDER BY died_at DESC, id DESC LIMIT ?", limit)

    def dead_one(self, number: int) -> DeadMessage | None:
        """Return one dead message."""
        return next(iter(self._dead("WHERE id = ?", number)), None)

    def _dead(self, which: str, param: int) -> list[DeadMessage]:
        self._prepare()
        with self._database.session():
            rows = self._database.read(
                f"SELECT id, queue, reason, died_at, data FROM dead_messages {which}", (param,)
            )
        return [DeadMessage(*row) for row in rows]

    def count_dead(self) -> int:
        """Return how many dead messages there are."""
        self._prepare()
        with self._database.session():
            count: int = self._database.read("SELECT count(*) FROM dead_messages")[0][0]
        return count

    def revive(self, letter: DeadMessage, data: bytes) -> bool:
        """Let a dead message wait again, with these bytes; say whether it was there."""
        with self._database.transaction() as transaction:
            if not self._forget(transaction, letter.number):
                return False
            transaction.execute(
                "INSERT INTO messages (queue, due, data, priority) VALUES (?, 0, ?, ?)",
                (letter.queue, data, message_priority(data)),
            )
        return True

    def forget(self, number: int) -> bool:
        """Delete a dead message; say whether it was there."""
        self._prepare()
        with self._database.transaction() as transaction:
            return self._forget(transaction, number)

    def _forget(self, transaction: Transaction, number: int) -> bool:
        sql = "DELETE FROM dead_messages WHERE id = ?"
        return transaction.execute(sql, (number,)).rowcount == 1

    def empty(self, queue: str) -> None:
        """Drop every message that waits in a queue."""
        self._prepare()
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM messages WHERE queue = ? AND owner IS NULL", (queue,))

    def ping(self) -> None:
        """Return when the file answers."""
        self._prepare()
        self._database.ping()

    def close(self) -> None:
        """Close the connections. Idempotent, never raises."""
        self._database.close()

    def _prepare(self) -> None:
        """Make the tables when the file is new, and what an older version's lacks."""
        if self._ready:
            return
        with self._guard, self._database.session():
            version = self._version()
            if version in _STEPS:
                with self._database.transaction() as transaction:
                    # Another process may have done it meanwhile.
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
