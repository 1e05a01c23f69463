"""Enqueue asynchronous jobs through the host, or run them in one process of its worker role."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from rolehost.roles.worker.role import WorkerRole

from benchmarks.moments import Moments
from benchmarks.programs import waiting
from benchmarks.programs.worker import started


def fill(file: Path, count: int, seconds: float) -> None:
    """Enqueue jobs."""
    with started(file, "command") as process, process.services.unit_of_work() as work:
        work.enqueue_many("wait", [{"number": n, "seconds": seconds} for n in range(count)])


def drain(file: Path, moments: Moments) -> None:
    """Run jobs until the process is stopped."""
    waiting.moments = moments
    stopping = threading.Event()
    with started(file) as process:
        worker = WorkerRole(process)
        moments.await_begin()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        worker.start()
        stopping.wait()
        worker.stop()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", file, count, seconds]:
            fill(Path(file), int(count), float(seconds))
        case ["drain", file, path, count]:
            drain(Path(file), Moments(Path(path), int(count)))
