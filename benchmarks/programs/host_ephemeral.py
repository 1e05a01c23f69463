"""Send ephemeral messages through the host and run them in its worker role."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from rolehost.roles.worker.role import WorkerRole

from benchmarks.programs import plugin
from benchmarks.programs.worker import started
from benchmarks.tally import Tally


def main(file: Path, count: int) -> None:
    """Print messages sent and run per second, and processor microseconds for each run."""
    with started(file) as process:
        send = process.services.send
        send(plugin.passing, number=-1)  # the setup of the first call does not count
        began = time.perf_counter()
        for number in range(count):
            send(plugin.passing, number=number)
        sent = count / (time.perf_counter() - began)

        finished = threading.Event()
        plugin.countdown.total = count + 1
        plugin.countdown.finished = finished.set
        worker = WorkerRole(process)
        began, used = time.perf_counter(), time.process_time()
        worker.start()
        finished.wait()
        seconds, used = time.perf_counter() - began, time.process_time() - used
        worker.stop()
    print(json.dumps({"sent": sent, "run": count / seconds, "cost": used / count * 1e6}))


def fill(file: Path, count: int) -> None:
    """Send messages; print messages per second."""
    with started(file, "command") as process:
        send = process.services.send
        process.services.queue.ping()  # opens the connection
        began = time.perf_counter()
        for number in range(count):
            send(plugin.passing, number=number)
        print(json.dumps({"sent": count / (time.perf_counter() - began)}))


def drain(file: Path, tally: Tally) -> None:
    """Run messages until the process is stopped."""
    plugin.countdown = tally  # type: ignore[assignment]  # counts across processes
    with started(file) as process:
        worker = WorkerRole(process)
        tally.await_begin()
        worker.start()
        threading.Event().wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", file, count]:
            fill(Path(file), int(count))
        case ["drain", file, tally, slot]:
            drain(Path(file), Tally(Path(tally), int(slot)))
        case [file, count]:
            main(Path(file), int(count))
