"""Read every effect from the database: how often, in which order, and when it was committed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tests.proofs.disposable_load import Entry

#: Effects of an entry, by the first letter of its name; other entries have no rows here.
EFFECTS = {"r": ("accepted", "settled", "handled", "filed"), "s": ("received", "filed")}


class Audit(NamedTuple):
    """The number of errors of each kind; every number must be 0.

    Attributes:
        lost: effects of acknowledged entries that are missing.
        double: rows of effects beyond the first.
        strange: effects of entries that were never sent.
        disordered: events whose position among the events of their key differs from the send order.
        dead: jobs and events that became dead letters.
    """

    lost: int
    double: int
    strange: int
    disordered: int
    dead: int


class Books:
    """Reads the effects on a separate connection.

    Args:
        url: URL of PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._done: set[str] = set()

    def wait(self, entries: Iterable[Entry], seconds: float) -> list[str]:
        """Wait until all entries that are stored as rows have all effects; return the others."""
        names = {each.name for each in entries if each.name[0] in EFFECTS and each.acknowledged}
        end = time.monotonic() + seconds
        while True:
            waiting = sorted(names - self._done)
            if waiting:
                self._done.update(name for (name,) in self._read(_FINISHED, (waiting,)))
            left = sorted(names - self._done)
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.2)  # the database does not notify when an effect is committed

    def holders(self) -> list[int]:
        """Return the processes that hold claimed jobs, sorted by their number, most first."""
        # The id of a process is ROLE.SLOT.INCARNATION-PID-RANDOM.
        return [int(owner.split("-")[1]) for (owner,) in self._read(_HOLDERS, ())]

    def finished(self) -> dict[str, float]:
        """Return the commit time of the last effect of each finished entry."""
        return {name: float(moment) for name, moment in self._read(_TIMES, ())}

    def audit(self, entries: Sequence[Entry]) -> Audit:
        """Compare the acknowledged entries with the stored effects."""
        rows = self._read("SELECT entry, kind, count(*) FROM entries_effects GROUP BY 1, 2", ())
        counts = {(entry, kind): count for entry, kind, count in rows}
        wanted = {(each.name, kind) for each in entries for kind in EFFECTS.get(each.name[0], ())}
        (disordered,) = self._read(
            "SELECT count(*) FROM entries_effects"
            " WHERE kind IN ('handled', 'received') AND seq <> position",
            (),
        )[0]
        (dead,) = self._read(
            "SELECT (SELECT count(*) FROM rolehost_jobs WHERE state = 'dead')"
            " + (SELECT count(*) FROM rolehost_dead_events)",
            (),
        )[0]
        return Audit(
            lost=len(wanted - counts.keys()),
            double=sum(count - 1 for count in counts.values()),
            strange=sum(1 for key in counts.keys() - wanted if key[1] != "ticked"),
            disordered=disordered,
            dead=dead,
        )

    def ticks(self) -> int:
        """Count the schedule's ticks whose job has run."""
        return int(
            self._read("SELECT count(*) FROM entries_effects WHERE kind = 'ticked'", ())[0][0]
        )

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        import psycopg2

        with psycopg2.connect(self._url) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows = cursor.fetchall()
        connection.close()
        return rows


_COMPLETE = "HAVING count(DISTINCT kind) = CASE WHEN entry LIKE 'r%%' THEN 4 ELSE 2 END"
_FINISHED = f"SELECT entry FROM entries_effects WHERE entry = ANY(%s) GROUP BY entry {_COMPLETE}"
_TIMES = (
    "SELECT entry, extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))"
    " FROM entries_effects WHERE entry NOT LIKE 'tick%%' GROUP BY entry"
    f" {_COMPLETE}"
)
_HOLDERS = (
    "SELECT owner FROM rolehost_jobs WHERE state IN ('claimed', 'running')"
    " GROUP BY owner ORDER BY count(*) DESC"
)
