"""Whether the schema is the one that the running code was written for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rolehost.schema import history
from rolehost.schema.files import Migration, Set, load
from rolehost.storage import Database

#: Seconds for which an answer is kept.
KEPT = 5.0


class Drift(NamedTuple):
    """How a schema differs from what the code wants; labels such as ``rolehost/0001_delivery``.

    Attributes:
        missing: migrations of the phase *pre* that are not applied, or were taken back.
        changed: migrations whose file is not what was applied.
        beyond: migrations of the phase *post* that were applied and are not known to this code:
            it is older than the schema allows.
        newer: likewise of the phase *pre*, beside which older code may run during a rollout.
    """

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        """What keeps the code from working, in one line; empty: nothing."""
        said = (
            ("not applied", self.missing),
            ("changed since they were applied", self.changed),
            ("applied, and unknown to this older code", self.beyond),
        )
        return "; ".join(f"migrations {what}: {', '.join(which)}" for what, which in said if which)

    @property
    def notice(self) -> str:
        """What is worth knowing and no fault, in one line; empty: nothing."""
        which = ", ".join(self.newer)
        return f"the schema is newer than this code: {which}" if which else ""


def compared(
    migrations: Iterable[Migration], applied: dict[tuple[str, int], history.Applied]
) -> Drift:
    """Compare the migrations of the code with those that a database has had.

    Owners that the code does not know are others' affair: they share the database.
    """
    known = {(each.owner, each.number): each for each in migrations}
    owners = {owner for owner, _ in known}
    missing = [m.label for key, m in known.items() if key not in applied and m.phase == "pre"]
    changed = [
        m.label
        for key, m in known.items()
        if (row := applied.get(key)) and (row.checksum, row.name) != (m.checksum, m.name)
    ]
    unknown = [row for key, row in sorted(applied.items()) if key not in known]
    theirs = [row for row in unknown if row.owner in owners]
    beyond, newer = (
        tuple(f"{r.owner}/{r.number:04d}_{r.name}" for r in theirs if (r.phase == "post") is late)
        for late in (True, False)
    )
    return Drift(tuple(missing), tuple(changed), beyond, newer)


class Schema:
    """Compares again and again, cheaply: the files are read once, the table every few seconds.

    Args:
        database: the service database; called when it is first asked.
        sets: owners and packages.
        clock: monotonic seconds.
    """

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
        """Return how the schema differs; what was seen in the last seconds is said again.

        Raises:
            SchemaError: files are wrong.
            StorageUnavailable: the database cannot be reached.
        """
        now = self._clock()
        if now >= self._due:
            database = self._database()
            if self._files is None:
                self._files = load(self._sets, database.dialect)
            self._drift = compared(self._files, history.read(database))
            self._due = now + KEPT
        return self._drift
