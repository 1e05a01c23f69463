"""One database for all runs of a simulation, wiped between them.

PERF: its connections keep their prepared statements, which take longer to make than to execute.
"""

from __future__ import annotations

from typing import Any

from rolehost_testing.memory.database import MemoryDatabase

#: Rows of this one come of wiping the others.
_LAST = "simulation_violations"


class Slate:
    """Brings a database back to where it was when this was made."""

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
        """Delete what was written since."""
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
