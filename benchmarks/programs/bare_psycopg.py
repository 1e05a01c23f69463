"""The statements of durable jobs in bare psycopg2 loops.

A recorder captures the SQL of the host's ledger, so that both sides always run the same
statements.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from rolehost.delivery.ledger import ClaimedJob, Finish, Ledger
from rolehost.deployment.model import WorkerSettings

from benchmarks.programs.bare_sqlite import ACTORS, BATCH, Recorded, new_job, now
from benchmarks.tally import Tally

#: The number of threads of the host's worker, and of the benchmark's host side.
THREADS = WorkerSettings().threads

_LEDGER = Ledger(
    SimpleNamespace(capabilities=frozenset({"skip-locked"}), dialect="postgresql")  # type: ignore[arg-type]
)


def _text(run: Callable[[Any], Any]) -> str:
    recorded = Recorded()
    run(recorded)
    return recorded.text.replace("?", "%s")


_JOB = ClaimedJob(0, "", "", b"", 0, 0, 0, 0, 0, 0, 0, None, None, 0)
_INSERT = _text(lambda tx: _LEDGER.insert(tx, new_job("nothing", 0)))
_PROMOTE = _text(lambda tx: _LEDGER.promote(tx, 0))
_CLAIM = _text(lambda tx: _LEDGER.claim(tx, "bench", ACTORS, "", BATCH))
_FINISH = _text(lambda tx: _LEDGER.finish(tx, _JOB, Finish("completed", 0, True, None), 0))


class _Finishing:
    """A transaction that runs a statement of the ledger on a connection's cursor."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, params: Any) -> None:
        self._cursor.execute(sql.replace("?", "%s"), params)


def plain(connection: Connection, tally: Tally) -> None:
    """Claim and complete jobs in batches."""
    finished: list[tuple[ClaimedJob, Finish]] = []
    with connection.cursor() as cursor:
        tx: Any = _Finishing(cursor)
        while True:
            cursor.execute("BEGIN")
            if finished:
                _LEDGER.finish_many(tx, finished, now())
            rows = _claim(cursor)
            cursor.execute("COMMIT")
            tally.count_many(len(finished))
            if not rows:
                return
            end = Finish("completed", now(), True, None)
            finished = [(ClaimedJob(*row), end) for row in rows]


def effects(connection: Connection, tally: Tally) -> None:
    """Claim in batches; write an effect and complete in one transaction each."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute("BEGIN")
            rows = _claim(cursor)
            cursor.execute("COMMIT")
            if not rows:
                return
            for row in rows:
                cursor.execute("BEGIN")
                cursor.execute("INSERT INTO effects (number) VALUES (%s)", (row[0],))
                # The claimed columns: id is the first, token the ninth.
                end = ("completed", now(), 1, None, now(), row[0], row[8])
                cursor.execute(_FINISH, end)
                cursor.execute("COMMIT")
                tally.count()


def _claim(cursor: Any) -> list[tuple[Any, ...]]:
    cursor.execute(_PROMOTE, (now(),))
    cursor.execute(_CLAIM, ("bare", "bench", *ACTORS, BATCH))
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def single(connection: Connection, count: int) -> None:
    """Insert jobs, each in its own transaction."""
    with connection.cursor() as cursor:
        for number in range(count):
            cursor.execute("BEGIN")
            cursor.execute(_INSERT, new_job("nothing", number))
            cursor.fetchone()
            cursor.execute("COMMIT")


def bulk(url: str, count: int) -> float:
    """Insert jobs with COPY in one transaction; return jobs per second."""
    connection = _connect(url)
    began = time.perf_counter()
    rows = io.StringIO()
    for number in range(count):
        values = new_job("nothing", number)
        rows.write("\t".join(map(_copied, values)) + "\n")
    rows.seek(0)
    with connection.cursor() as cursor:
        columns = _INSERT[_INSERT.index("(") : _INSERT.index(")") + 1]
        cursor.copy_expert(f"COPY rolehost_jobs {columns} FROM STDIN", rows)
    return count / (time.perf_counter() - began)


def _copied(value: object) -> str:
    """Return a value in COPY's text format; no text here contains characters to escape."""
    if value is None:
        return r"\N"
    return rf"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _connect(url: str) -> Connection:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def _threads(url: str, run: Callable[[Connection], None], await_begin: Callable[[], None]) -> float:
    """Run a function in all threads, each with its own connection; return the seconds."""
    connections = [_connect(url) for _ in range(THREADS)]
    threads = [threading.Thread(target=run, args=(each,)) for each in connections]
    await_begin()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drain", url, "nothing", path, slot]:
            tally = Tally(Path(path), int(slot))
            _threads(url, lambda connection: plain(connection, tally), tally.await_begin)
        case ["drain", url, "effect", path, slot]:
            tally = Tally(Path(path), int(slot))
            _threads(url, lambda connection: effects(connection, tally), tally.await_begin)
        case ["enqueue", url, total]:
            each = int(total) // THREADS
            seconds = _threads(url, lambda connection: single(connection, each), bool)
            print(json.dumps({"single": each * THREADS / seconds}))
        case ["bulk", url, total]:
            print(json.dumps({"bulk": bulk(url, int(total))}))
