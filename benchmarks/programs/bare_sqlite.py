"""The statements of durable jobs in a bare ``sqlite3`` loop.

A recorder captures the SQL of the host's ledger, so that both sides always run the same
statements.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rolehost.delivery.ledger import ClaimedJob, Finish, Ledger, NewJob
from rolehost.deployment.model import WorkerSettings

from benchmarks.programs.worker import started

#: Maximum rows of one claim: the host's default.
BATCH = WorkerSettings().prefetch

ACTORS = ("answer", "effect", "nothing")


class Recorded:
    """A transaction that only records the last statement."""

    def __init__(self) -> None:
        self.text = ""
        self.rowcount = 0

    def execute(self, sql: str, _params: Sequence[Any] = ()) -> Recorded:
        self.text = sql
        return self

    def executemany(self, sql: str, _rows: Sequence[Sequence[Any]]) -> None:
        self.text = sql

    def fetchone(self) -> tuple[int]:
        return (0,)

    def fetchall(self) -> list[Any]:
        return []


class Statements:
    """The SQL of the ledger's statements."""

    def __init__(self) -> None:
        ledger = Ledger(SimpleNamespace(capabilities=frozenset()))  # type: ignore[arg-type]
        tx: Any = Recorded()
        new = new_job("nothing", 0)
        job = ClaimedJob(0, "", "", b"", 0, 0, 0, 0, 0, 0, 0, None, None, 0)
        ledger.insert(tx, new)
        self.insert = tx.text
        ledger.insert_many(tx, [new])
        self.insert_many = tx.text
        ledger.promote(tx, 0)
        self.promote = tx.text
        ledger.claim(tx, "bench", ACTORS, "", BATCH)
        self.claim = tx.text
        ledger.finish(tx, job, Finish("completed", 0, True, None), 0)
        self.finish = tx.text


def new_job(actor: str, number: int) -> NewJob:
    """Return a row to insert."""
    arguments = b'{"number":%d}' % number
    return NewJob("bench", actor, "available", 0, now(), arguments, None, None, now(), None)


def now() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Loop:
    """The loop on one connection with the host's settings."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for pragma in ("foreign_keys = 1", "synchronous = FULL", "cache_size = -2048"):
            self._connection.execute(f"PRAGMA {pragma}")
        self.execute = self._connection.execute
        self.executemany = self._connection.executemany
        self._sql = Statements()

    def enqueue(self, count: int) -> float:
        """Insert jobs, each in its own transaction; return jobs per second."""
        began = time.perf_counter()
        for number in range(count):
            self.execute("BEGIN IMMEDIATE")
            self.execute(self._sql.insert, new_job("nothing", number)).fetchone()
            self.execute("COMMIT")
        return count / (time.perf_counter() - began)

    def plain(self, count: int) -> float:
        """Claim and complete jobs in batches; return jobs per second."""
        self._fill("nothing", count)
        began = time.perf_counter()
        finished: list[tuple[Any, ...]] = []
        while True:
            self.execute("BEGIN IMMEDIATE")
            if finished:
                self.executemany(self._sql.finish, finished)
            rows = self._claim()
            self.execute("COMMIT")
            if not rows:
                return count / (time.perf_counter() - began)
            finished = [self._finish(row) for row in rows]

    def effects(self, count: int) -> float:
        """Claim in batches; write an effect and complete in one transaction each."""
        self._fill("effect", count)
        began = time.perf_counter()
        while True:
            self.execute("BEGIN IMMEDIATE")
            rows = self._claim()
            self.execute("COMMIT")
            if not rows:
                return count / (time.perf_counter() - began)
            for row in rows:
                self.execute("BEGIN IMMEDIATE")
                self.execute("INSERT INTO effects (number) VALUES (?)", (row[0],))
                self.execute(self._sql.finish, self._finish(row))
                self.execute("COMMIT")

    def _fill(self, actor: str, count: int) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.executemany(self._sql.insert_many, [new_job(actor, number) for number in range(count)])
        self.execute("COMMIT")

    def _claim(self) -> list[Any]:
        self.execute(self._sql.promote, (now(),))
        return self.execute(self._sql.claim, ("bare", "bench", *ACTORS, BATCH)).fetchall()

    @staticmethod
    def _finish(row: Any) -> tuple[Any, ...]:
        # The claimed columns: id is the first, token the ninth.
        return ("completed", now(), 1, None, now(), row[0], row[8])


def main(file: Path, single: int, plain: int, effects: int) -> None:
    """Print jobs per second: enqueued one by one, run in bulk, run with an effect."""
    with started(file, "command"):
        pass  # creates the schema
    loop = Loop(file.with_name("bench.db"))
    loop.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
    loop.enqueue(1)
    found = {"single": loop.enqueue(single)}
    loop.execute("DELETE FROM rolehost_jobs")
    found |= {"plain": loop.plain(plain), "effects": loop.effects(effects)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
