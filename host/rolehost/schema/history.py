"""The applied migrations, in the table ``rolehost_migrations``, compared with the running code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from rolehost.schema.files import Migration, Set, load
from rolehost.storage import Database, Transaction

TABLE = "rolehost_migrations"

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    owner      TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    phase      TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,
    applied_at BIGINT  NOT NULL,
    PRIMARY KEY (owner, number)
)
"""

#: Seconds for which :class:`Schema` caches its result.
_CACHE_SECONDS = 5.0


class Applied(NamedTuple):
    """One row; ``applied_at`` is in milliseconds since the epoch."""

    owner: str
    number: int
    name: str
    phase: str
    checksum: str
    applied_at: int

    @property
    def label(self) -> str:
        """See :attr:`Migration.label`."""
        return f"{self.owner}/{self.number:04d}_{self.name}"

    def is_same(self, migration: Migration) -> bool:
        """Return whether the migration's file was not changed since it was applied."""
        return (self.checksum, self.name) == (migration.checksum, migration.name)


#: Applied migrations by owner and number.
History = dict[tuple[str, int], Applied]


def read(database: Database) -> History:
    """Return the applied migrations; empty if there is no table yet. Changes nothing."""
    with database.session():
        if not database.peewee.table_exists(TABLE):
            return {}
        rows = database.read(f"SELECT {', '.join(Applied._fields)} FROM {TABLE}")
    applied = [Applied(*row) for row in rows]
    return {(row.owner, row.number): row for row in applied}


def create(database: Database) -> None:
    """Create the table if it is missing. Call it under the migration lock."""
    with database.transaction() as transaction:
        transaction.execute(_CREATE)


def add(transaction: Transaction, migration: Migration, now: int) -> None:
    """Record that a migration was applied at ``now``, in milliseconds since the epoch."""
    m = migration
    transaction.execute(
        f"INSERT INTO {TABLE} ({', '.join(Applied._fields)}) VALUES (?, ?, ?, ?, ?, ?)",
        (m.owner, m.number, m.name, m.phase, m.checksum, now),
    )


def remove(transaction: Transaction, migration: Migration) -> None:
    """Record that a migration was reverted."""
    sql = f"DELETE FROM {TABLE} WHERE owner = ? AND number = ?"
    transaction.execute(sql, (migration.owner, migration.number))


class MigrationStatus(NamedTuple):
    """One line of ``rolehost migrate status``.

    ``changed``: the file was changed after it was applied. ``gone``: applied, but no enabled plugin
    has the file. ``applied_at`` is in milliseconds since the epoch; None if pending.
    """

    owner: str
    number: int
    name: str
    phase: str
    state: Literal["pending", "applied", "changed", "gone"]
    applied_at: int | None


def status(database: Database, sets: Iterable[Set]) -> tuple[MigrationStatus, ...]:
    """List the migrations of the sets in their order, then applied ones without a file."""
    applied = read(database)
    lines = []
    for migration in load(sets, database.dialect):
        row = applied.pop((migration.owner, migration.number), None)
        if row is None:
            lines.append(_line(migration, "pending", None))
        else:
            state: Any = "applied" if row.is_same(migration) else "changed"
            lines.append(_line(migration, state, row.applied_at))
    lines += [_line(row, "gone", row.applied_at) for row in sorted(applied.values())]
    return tuple(lines)


def _line(
    of: Migration | Applied,
    state: Literal["pending", "applied", "changed", "gone"],
    applied_at: int | None,
) -> MigrationStatus:
    return MigrationStatus(of.owner, of.number, of.name, of.phase, state, applied_at)


class Drift(NamedTuple):
    """Differences between the schema and the code, as labels like ``rolehost/0001_delivery``.

    ``missing``: *pre* migrations that are not applied or were reverted. ``changed``: applied
    migrations whose files were changed afterwards. ``too_new``: applied *post* migrations that this
    code does not know; this code is too old for the schema. ``newer``: applied *pre* migrations
    that this code does not know; older code may run with them during a rollout.
    """

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    too_new: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """The differences that prevent the code from working, in one line; or an empty text."""
        said = (
            ("not applied", self.missing),
            ("changed since they were applied", self.changed),
            ("applied, but unknown to this code, which is older", self.too_new),
        )
        return "; ".join(f"migrations {what}: {', '.join(which)}" for what, which in said if which)

    @property
    def warning(self) -> str:
        """The harmless differences, in one line; or an empty text."""
        which = ", ".join(self.newer)
        return f"the schema is newer than this code: {which}" if which else ""


def compare(migrations: Iterable[Migration], applied: History) -> Drift:
    """Compare code and database; ignore other owners, because applications may share a database."""
    known = {(each.owner, each.number): each for each in migrations}
    owners = {owner for owner, _ in known}
    missing = [m.label for key, m in known.items() if key not in applied and m.phase == "pre"]
    changed = [
        m.label for key, m in known.items() if key in applied and not applied[key].is_same(m)
    ]
    unknown = [
        row for key, row in sorted(applied.items()) if key not in known and row.owner in owners
    ]
    return Drift(
        tuple(missing),
        tuple(changed),
        too_new=tuple(row.label for row in unknown if row.phase == "post"),
        newer=tuple(row.label for row in unknown if row.phase != "post"),
    )


class Schema:
    """Compares repeatedly at a low cost: reads the files once, and the table every few seconds."""

    def __init__(
        self,
        database: Callable[[], Database],
        sets: Sequence[Set],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._sets = tuple(sets)
        self._clock = clock
        self._files: tuple[Migration, ...] | None = None
        self._drift = Drift()
        self._due = 0.0

    def drift(self) -> Drift:
        """Return how the schema differs; the result is cached for a few seconds."""
        now = self._clock()
        if now >= self._due:
            database = self._database()
            if self._files is None:
                self._files = load(self._sets, database.dialect)
            self._drift = compare(self._files, read(database))
            self._due = now + _CACHE_SECONDS
        return self._drift
