"""Dramatiq's worker on its in-memory broker: the bare cost of passing a message to a thread."""

from __future__ import annotations

import json
import sys
import threading
import time

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Retries, ShutdownNotifications, TimeLimit

from benchmarks.programs.plugin import Countdown


def main(count: int) -> None:
    """Print messages run per second, with the middleware of the host's worker."""
    middleware = [AgeLimit(), TimeLimit(), ShutdownNotifications(notify_shutdown=True), Retries()]
    broker = StubBroker(middleware=middleware)
    countdown = Countdown()

    @dramatiq.actor(broker=broker, queue_name="bench")
    def nothing(number: int) -> None:
        countdown.count(number)

    for number in range(count):
        nothing.send(number)
    finished = threading.Event()
    countdown.total = count
    countdown.finished = finished.set
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=8, worker_timeout=200)
    began = time.perf_counter()
    worker.start()
    finished.wait()
    seconds = time.perf_counter() - began
    worker.stop()
    print(json.dumps({"memory": count / seconds}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
