"""Sends and runs no-op messages with Dramatiq alone, on Redis."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.tally import Tally


def _declare(url: str, tally: Tally | None) -> dramatiq.Actor[[int], None]:
    broker = RedisBroker(url=url)

    @dramatiq.actor(broker=broker, queue_name="bench", actor_name="nothing")
    def nothing(number: int) -> None:
        assert tally is not None
        tally.count(number)

    return nothing


def fill(url: str, count: int) -> None:
    """Send messages."""
    actor = _declare(url, None)
    for number in range(count):
        actor.send(number)


def drain(url: str, threads: int, tally: Tally) -> None:
    """Run messages until the process is ended."""
    broker = _declare(url, tally).broker
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=threads)
    tally.await_begin()
    worker.start()
    threading.Event().wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count]:
            fill(url, int(count))
        case ["drain", url, threads, path, slot]:
            drain(url, int(threads), Tally(Path(path), int(slot)))
