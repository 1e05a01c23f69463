"""The ledger's statements of commit 991056b in bare psycopg2 loops, on a table of their own."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from benchmarks.programs import frozen
from benchmarks.programs.frozen import THREADS, End, Job, new_job, now
from benchmarks.tally import Tally

INSERT, PROMOTE, CLAIM, FINISH, COMPLETE, EFFECT = (
    text.replace("?", "%s")
    for text in (
        frozen.INSERT,
        frozen.PROMOTE,
        frozen.POSTGRES_CLAIM,
        frozen.FINISH,
        frozen.COMPLETE,
        frozen.EFFECT,
    )
)


def plain(connection: Connection, tally: Tally) -> None:
    """Claim and complete jobs in batches."""
    finished: list[tuple[Job, End]] = []
    with connection.cursor() as cursor:
        while True:
            cursor.execute("BEGIN")
            if finished:
                _complete(cursor, finished)
            rows = _claim(cursor)
            cursor.execute("COMMIT")
            tally.count_many(len(finished))
            if not rows:
                return
            end = End("completed", now(), True, None)
            finished = [(Job(*row), end) for row in rows]


def _complete(cursor: Any, finished: Iterable[tuple[Job, End]]) -> None:
    completed = [(job.id, job.token, end.run_at) for job, end in finished]
    arrays = ("{" + ",".join(map(str, each)) + "}" for each in zip(*completed, strict=True))
    cursor.execute(COMPLETE, (now(), *arrays))


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
                cursor.execute(EFFECT, (row[0],))
                # The claimed columns: id is the first, token the ninth.
                cursor.execute(FINISH, frozen.finish_values(row[0], row[8]))
                cursor.execute("COMMIT")
                tally.count()


def _claim(cursor: Any) -> list[tuple[Any, ...]]:
    cursor.execute(PROMOTE, (now(),))
    cursor.execute(CLAIM, ("bare", frozen.QUEUE, *frozen.ACTORS, frozen.BATCH))
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def single(connection: Connection, count: int) -> None:
    """Insert jobs, each in its own transaction."""
    with connection.cursor() as cursor:
        for number in range(count):
            cursor.execute("BEGIN")
            cursor.execute(INSERT, new_job("nothing", number))
            cursor.fetchone()
            cursor.execute("COMMIT")


def bulk(url: str, actor: str, count: int) -> float:
    """Create the tables and insert jobs with COPY in one transaction; return jobs per second."""
    connection = _connect(url)
    with connection.cursor() as cursor:
        cursor.execute(frozen.POSTGRES_SCHEMA)
        began = time.perf_counter()
        rows = io.StringIO()
        for number in range(count):
            rows.write("\t".join(map(_copied, new_job(actor, number))) + "\n")
        rows.seek(0)
        cursor.copy_expert(f"COPY rolehost_jobs {frozen.COLUMNS} FROM STDIN", rows)
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


def _threads(
    url: str, run: Callable[[Connection], object], await_begin: Callable[[], None]
) -> float:
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
        case ["drain", url, actor, path, slot]:
            tally = Tally(Path(path), int(slot))
            run = {"nothing": plain, "effect": effects}[actor]
            # Threads and connections stay, so that their processor time can be read.
            over = threading.Event()
            _threads(url, lambda each: (run(each, tally), over.wait()), tally.await_begin)
        case ["enqueue", url, total]:
            bulk(url, "nothing", 0)
            each = int(total) // THREADS
            seconds = _threads(url, lambda connection: single(connection, each), bool)
            print(json.dumps({"single": each * THREADS / seconds}))
        case ["fill", url, actor, total]:
            print(json.dumps({"bulk": bulk(url, actor, int(total))}))
