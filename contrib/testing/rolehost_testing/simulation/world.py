"""The simulated world of one run."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from typing import Any

from rolehost_testing.memory import MemoryWorld
from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.simulation.clock import SimulatedClock
from rolehost_testing.simulation.fibers import Fibers

#: Seconds without a poll after which a consumer loses its partitions.
SESSION = 10.0


class SimulatedWorld(MemoryWorld):
    """Storage, time, and recorded values of the author; passed to invariants.

    Attributes:
        clock: simulated time.
        acknowledged: values recorded with :meth:`~.client.Client.acknowledged`, by kind.
        calm: whether the steps are over, so that the remaining work runs without faults. Simulated
            external services should then answer without errors.
        notes: free for the author, for example for the messages that a simulated receiver got.
    """

    clock: SimulatedClock

    def __init__(
        self, clock: SimulatedClock, fibers: Fibers, chance: random.Random, database: MemoryDatabase
    ) -> None:
        super().__init__(clock=clock, interleaving=fibers, session=SESSION)
        # Replaces the new database that MemoryWorld would create.
        self.database = database
        self.topics.shuffle = chance
        self.acknowledged: dict[str, list[Any]] = {}
        self.notes: dict[str, Any] = {}
        self.calm = False
        self._reader: sqlite3.Connection | None = None

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one SELECT statement; it sees only committed data."""
        store = self.database.store
        if store.idle and not store.writing.locked():
            # PERF: the connection that was used last has most of the file in its cache.
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
        """Pass a point at which other fibers may run and the process may die.

        Simulated external services should call this before and after each action.
        """
        self.interleaving.reach(point)
