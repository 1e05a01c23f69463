"""What one run of a simulation happens in."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from typing import Any

from rolehost_testing.memory import MemoryWorld
from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.simulation.clock import SimulatedClock
from rolehost_testing.simulation.fibers import Fibers

#: Seconds after which a consumer that does not poll has lost its partitions.
SESSION = 10.0


class SimulatedWorld(MemoryWorld):
    """Storage, time, and what the author notes; given to invariants.

    Attributes:
        clock: simulated time.
        acknowledged: what actions noted by :meth:`~.client.Client.acknowledged`, by kind.
        calm: whether the steps are over and everything only settles: what is simulated of the
            outside should answer now.
        notes: anything of the author's own, such as what a simulated receiver was sent.
    """

    clock: SimulatedClock

    def __init__(
        self, clock: SimulatedClock, fibers: Fibers, chance: random.Random, database: MemoryDatabase
    ) -> None:
        super().__init__(clock=clock, interleaving=fibers, session=SESSION)
        # In place of a new one.
        self.database = database
        self.topics.shuffle = chance
        self.acknowledged: dict[str, list[Any]] = {}
        self.notes: dict[str, Any] = {}
        self.calm = False
        self._reader: sqlite3.Connection | None = None

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one reading statement: what is committed, whatever runs meanwhile."""
        store = self.database.store
        if store.idle and not store.writing.locked():
            # PERF: the one that was used last knows most of what is in the file.
            return store.idle[-1].execute(sql, params).fetchall()
        if self._reader is None:
            self._reader = self.database.peewee._connect()
        return self._reader.execute(sql, params).fetchall()

    def close(self) -> None:
        """See :meth:`MemoryWorld.close`."""
        if self._reader is not None:
            self.database.store.idle.append(self._reader)
            self._reader = None
        super().close()

    def pause(self, point: str = "pause") -> None:
        """Pass a point of the author's own, at which others may run and processes may die.

        For a simulated service of the outside: before it does something, and after.
        """
        self.interleaving.reach(point)
