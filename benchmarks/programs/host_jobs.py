"""Enqueue durable jobs through the host and run them in its worker role."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from rolehost.api import Actor, Database
from rolehost.roles.process import Process
from rolehost.roles.worker.role import WorkerRole

from benchmarks.programs import plugin
from benchmarks.programs.worker import started


def main(file: Path, single: int, plain: int, effects: int) -> None:
    """Print jobs per second: enqueued one by one, run in bulk, run with an effect."""
    with started(file) as process:
        database = process.services.database
        with database.transaction() as tx:
            tx.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
        process.services.enqueue(plugin.nothing, number=-1)
        began = time.perf_counter()
        for number in range(single):
            process.services.enqueue(plugin.nothing, number=number)
        rate = single / (time.perf_counter() - began)
        with database.transaction() as tx:
            tx.execute("DELETE FROM rolehost_jobs")
        found = {
            "single": rate,
            "plain": _drain(process, plugin.nothing, plain),
            "effects": _drain(process, plugin.effect, effects),
        }
    print(json.dumps(found))


def _drain(process: Process, actor: Actor, count: int) -> float:
    """Run this number of waiting jobs; return jobs per second."""
    services = process.services
    with services.unit_of_work() as work:
        work.enqueue_many(actor, [{"number": number} for number in range(count)])
    finished = threading.Event()
    plugin.countdown.seen.clear()
    plugin.countdown.total = count
    plugin.countdown.finished = finished.set
    worker = WorkerRole(process)
    began = time.perf_counter()
    worker.start()
    finished.wait()
    while _unfinished(services.database):
        time.sleep(0.001)
    seconds = time.perf_counter() - began
    worker.stop()
    return count / seconds


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
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
