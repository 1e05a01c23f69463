"""The table ``rolehost_migrations``: which migrations a database has had."""

from __future__ import annotations

from typing import NamedTuple

from rolehost.schema.files import Migration
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


class Applied(NamedTuple):
    """One row.

    Attributes:
        applied_at: milliseconds since the epoch.
    """

    owner: str
    number: int
    name: str
    phase: str
    checksum: str
    applied_at: int


def read(database: Database) -> dict[tuple[str, int], Applied]:
    """Return what was applied, by owner and number; nothing when the table is not there yet.

    Changes nothing, not even an empty database.
    """
    with database.session():
        if not database.peewee.table_exists(TABLE):
            return {}
        rows = database.read(f"SELECT {', '.join(Applied._fields)} FROM {TABLE}")
    applied = [Applied(*row) for row in rows]
    return {(row.owner, row.number): row for row in applied}


def create(database: Database) -> None:
    """Make the table where it is missing. Call it under the migration lock."""
    with database.transaction() as transaction:
        transaction.execute(_CREATE)


def add(transaction: Transaction, migration: Migration, now: int) -> None:
    """Note that a migration was applied at ``now``, in milliseconds since the epoch."""
    transaction.execute(
        f"INSERT INTO {TABLE} ({', '.join(Applied._fields)}) VALUES (?, ?, ?, ?, ?, ?)",
        (
            migration.owner,
            migration.number,
            migration.name,
            migration.phase,
            migration.checksum,
            now,
        ),
    )


def remove(transaction: Transaction, migration: Migration) -> None:
    """Note that a migration was taken back."""
    transaction.execute(
        f"DELETE FROM {TABLE} WHERE owner = ? AND number = ?", (migration.owner, migration.number)
    )
