"""The ledger's statements of commit 991056b in a bare ``sqlite3`` loop, on a table of its own."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.programs import frozen
from benchmarks.programs.frozen import new_job, now


class Loop:
    """The loop on one connection with the host's settings."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        self.execute = self._connection.execute
        self.executemany = self._connection.executemany
        self.execute("PRAGMA journal_mode = WAL")
        for pragma in ("foreign_keys = 1", "synchronous = FULL", "cache_size = -2048"):
            self.execute(f"PRAGMA {pragma}")
        self._connection.executescript(frozen.SQLITE_SCHEMA)

    def enqueue(self, count: int) -> float:
        """Insert jobs, each in its own transaction; return jobs per second."""
        began = time.perf_counter()
        for number in range(count):
            self.execute("BEGIN IMMEDIATE")
            self.execute(frozen.INSERT, new_job("nothing", number)).fetchone()
            self.execute("COMMIT")
        return count / (time.perf_counter() - began)

    def plain(self, count: int) -> dict[str, float]:
        """Claim and complete jobs in batches; return jobs per second and the cost of a job."""
        self._fill("nothing", count)
        began, used = time.perf_counter(), time.process_time()
        finished: list[tuple[Any, ...]] = []
        while True:
            self.execute("BEGIN IMMEDIATE")
            if finished:
                self.executemany(frozen.FINISH, finished)
            rows = self._claim()
            self.execute("COMMIT")
            if not rows:
                break
            finished = [frozen.finish_values(row[0], row[8]) for row in rows]
        seconds, used = time.perf_counter() - began, time.process_time() - used
        return {"plain": count / seconds, "plain_cost": used / count * 1e6}

    def effects(self, count: int) -> dict[str, float]:
        """Claim in batches; write an effect and complete in one transaction each."""
        self._fill("effect", count)
        began, used = time.perf_counter(), time.process_time()
        while True:
            self.execute("BEGIN IMMEDIATE")
            rows = self._claim()
            self.execute("COMMIT")
            if not rows:
                break
            for row in rows:
                self.execute("BEGIN IMMEDIATE")
                self.execute(frozen.EFFECT, (row[0],))
                # The claimed columns: id is the first, token the ninth.
                self.execute(frozen.FINISH, frozen.finish_values(row[0], row[8]))
                self.execute("COMMIT")
        seconds, used = time.perf_counter() - began, time.process_time() - used
        return {"effects": count / seconds, "effects_cost": used / count * 1e6}

    def _fill(self, actor: str, count: int) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.executemany(frozen.INSERT_MANY, [new_job(actor, number) for number in range(count)])
        self.execute("COMMIT")

    def _claim(self) -> list[Any]:
        self.execute(frozen.PROMOTE, (now(),))
        claim = ("bare", frozen.QUEUE, *frozen.ACTORS, frozen.BATCH)
        return self.execute(frozen.SQLITE_CLAIM, claim).fetchall()


def main(path: Path, single: int, plain: int, effects: int) -> None:
    """Print jobs per second: enqueued one by one, run in bulk, run with an effect."""
    loop = Loop(path)
    loop.enqueue(1)
    found = {"single": loop.enqueue(single)}
    loop.execute("DELETE FROM rolehost_jobs")
    found |= {**loop.plain(plain), **loop.effects(effects)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
