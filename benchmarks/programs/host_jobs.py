"""Enqueue durable jobs through the host and run them in its worker role."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rolehost.api import Database
from rolehost.roles.process import Process
from rolehost.roles.worker.role import WorkerRole

from benchmarks.programs import plugin
from benchmarks.programs.worker import started


def main(file: Path, single: int, plain: int, effects: int) -> None:
    """Print jobs per second: enqueued one by one, run in bulk, run with an effect."""
    with _process(file) as process:
        database = process.services.database
        process.services.enqueue(plugin.nothing, number=-1)
        began = time.perf_counter()
        for number in range(single):
            process.services.enqueue(plugin.nothing, number=number)
        rate = single / (time.perf_counter() - began)
        with database.transaction() as tx:
            tx.execute("DELETE FROM rolehost_jobs")
        found = {
            "single": rate,
            **_drain(process, "nothing", plain, "plain"),
            **_drain(process, "effect", effects, "effects"),
        }
    print(json.dumps(found))


def one(file: Path, actor: str, count: int) -> None:
    """Print jobs per second of one actor."""
    with _process(file) as process:
        print(json.dumps(_drain(process, actor, count, "rate")))


@contextmanager
def _process(file: Path) -> Iterator[Process]:
    with started(file) as process:
        with process.services.database.transaction() as tx:
            tx.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
        yield process


def _drain(process: Process, actor: str, count: int, name: str) -> dict[str, float]:
    """Run this number of waiting jobs; return jobs per second and the cost of a job."""
    services = process.services
    with services.unit_of_work() as work:
        work.enqueue_many(actor, [{"number": number} for number in range(count)])
    finished = threading.Event()
    plugin.countdown.seen.clear()
    plugin.countdown.total = count
    plugin.countdown.finished = finished.set
    worker = WorkerRole(process)
    began, used = time.perf_counter(), time.process_time()
    worker.start()
    finished.wait()
    while _unfinished(services.database):
        time.sleep(0.001)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    worker.stop()
    return {name: count / seconds, f"{name}_cost": used / count * 1e6}


def _unfinished(database: Database) -> bool:
    """Return whether completions are still to be written."""
    with database.session():
        return bool(
            database.read(
                "SELECT 1 FROM rolehost_jobs WHERE state IN ('available', 'claimed', 'running')"
                " LIMIT 1"
            )
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case [file, actor, count]:
            one(Path(file), actor, int(count))
        case [file, *counts]:
            main(Path(file), *map(int, counts))
