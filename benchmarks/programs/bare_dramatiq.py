"""Send and run messages with bare Dramatiq on the embedded broker."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import dramatiq
from dramatiq.middleware import default_middleware
from rolehost_embedded.queue import EmbeddedQueue
from rolehost_embedded.settings import EmbeddedSettings

from benchmarks.programs.plugin import Countdown


def main(file: Path, count: int) -> None:
    """Print messages sent and run per second, and processor microseconds for each run."""
    queue = EmbeddedQueue(EmbeddedSettings(path=file.with_name("bench.db")))
    broker = queue.broker()
    for middleware in default_middleware:
        broker.add_middleware(middleware())
    countdown = Countdown()

    @dramatiq.actor(broker=broker, queue_name="bench")
    def passing(number: int) -> None:
        countdown.count(number)

    passing.send(number=-1)
    began = time.perf_counter()
    for number in range(count):
        passing.send(number=number)
    sent = count / (time.perf_counter() - began)

    finished = threading.Event()
    countdown.total = count + 1
    countdown.finished = finished.set
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=8, worker_timeout=200)
    began, used = time.perf_counter(), time.process_time()
    worker.start()
    finished.wait()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    worker.stop()
    queue.close()
    print(json.dumps({"sent": sent, "run": count / seconds, "cost": used / count * 1e6}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
