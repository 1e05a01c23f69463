"""Enqueue durable jobs through the host, or run them in its worker role, on PostgreSQL."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

from rolehost.api import Services
from rolehost.roles.worker.role import WorkerRole

from benchmarks.programs import plugin
from benchmarks.programs.worker import started
from benchmarks.tally import Tally

#: Threads that enqueue concurrently.
THREADS = 8

#: Partitions of the jobs of the limited actor. With 100 of them, the number of places (400) bounds
#: the rate: a place is held from the claim to the committed end.
TENANTS = 1000


def fill(file: Path, actor: str, count: int) -> None:
    """Enqueue jobs in bulk; print jobs per second."""
    with started(file, "command") as process:
        process.services.database.ping()  # opens the connection
        began = time.perf_counter()
        with process.services.unit_of_work() as work:
            work.enqueue_many(actor, [_arguments(actor, number) for number in range(count)])
        print(json.dumps({"bulk": count / (time.perf_counter() - began)}))


def _arguments(actor: str, number: int) -> dict[str, object]:
    if actor == "limited":
        return {"number": number, "tenant": f"tenant {number % TENANTS}"}
    return {"number": number}


def drain(file: Path, tally: Tally) -> None:
    """Run jobs until the process is stopped; then hand back those that it has claimed.

    Otherwise the next processes on this ledger would find the jobs of lost ones, and run each of
    them with its start recorded.
    """
    plugin.countdown = tally  # type: ignore[assignment]  # counts across processes
    stopping = threading.Event()
    with started(file) as process:
        worker = WorkerRole(process)
        tally.await_begin()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        worker.start()
        stopping.wait()
        worker.stop()


def enqueue(file: Path, count: int) -> None:
    """Enqueue jobs from several threads, each in its own transaction; print jobs per second."""
    with started(file, "command") as process:
        connected = threading.Barrier(THREADS + 1)
        threads = [
            threading.Thread(target=_enqueue, args=(process.services, count // THREADS, connected))
            for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        connected.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    print(json.dumps({"single": count // THREADS * THREADS / seconds}))


def _enqueue(services: Services, count: int, connected: threading.Barrier) -> None:
    services.enqueue(plugin.nothing, number=-1)  # opens the connection of this thread
    connected.wait()
    for number in range(count):
        services.enqueue(plugin.nothing, number=number)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", file, actor, count]:
            fill(Path(file), actor, int(count))
        case ["drain", file, tally, slot]:
            drain(Path(file), Tally(Path(tally), int(slot)))
        case ["enqueue", file, count]:
            enqueue(Path(file), int(count))
