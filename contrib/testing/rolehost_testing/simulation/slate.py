"""One database for all runs of a simulation, reset between runs.

PERF: connections keep their prepared statements, which take longer to prepare than to execute.
"""

from __future__ import annotations

from typing import Any

from rolehost_testing.memory.database import MemoryDatabase

#: Reset last, because resetting the other tables adds rows to this one.
_LAST = "simulation_violations"


class Slate:
    """Resets a database to its state at the creation of this object."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        with database.session():
            names = database.read(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            self._tables = sorted((name for (name,) in names), key=lambda name: name == _LAST)
            rows = {name: database.read(f'SELECT * FROM "{name}"') for name in self._tables}
        self._rows: dict[str, list[tuple[Any, ...]]] = {
            name: found for name, found in rows.items() if found
        }

    def wipe(self) -> None:
        """Delete everything that was written since this object was made."""
        peewee = self._database.peewee
        with self._database.session():
            connection = peewee.driver()
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("BEGIN IMMEDIATE")
            for name in self._tables:
                connection.execute(f'DELETE FROM "{name}"')
            for name, rows in self._rows.items():
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
            connection.execute("DELETE FROM sqlite_sequence")
            connection.execute("COMMIT")
            connection.execute("PRAGMA foreign_keys = ON")
