"""Send and run no-op messages with bare Dramatiq on Redis."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.programs.plugin import tell
from benchmarks.tally import Tally


class Actors(NamedTuple):
    """The actors of one broker."""

    nothing: dramatiq.Actor[[int], None]
    answer: dramatiq.Actor[[int, str], None]


def declare(url: str, tally: Tally | None) -> Actors:
    """Create a broker and its actors; without a tally, messages can be sent but not run."""
    broker = RedisBroker(url=url)

    @dramatiq.actor(broker=broker, queue_name="bench", actor_name="nothing")
    def nothing(number: int) -> None:
        assert tally is not None
        tally.count(number)

    @dramatiq.actor(broker=broker, queue_name="bench", actor_name="answer")
    def answer(sent: int, path: str) -> None:
        tell(sent, path)

    return Actors(nothing, answer)


def fill(url: str, count: int) -> None:
    """Send messages; print messages per second."""
    actor = declare(url, None).nothing
    actor.broker.client.ping()  # opens the connection
    began = time.perf_counter()
    for number in range(count):
        actor.send(number)
    print(json.dumps({"sent": count / (time.perf_counter() - began)}))


def drain(url: str, threads: int, tally: Tally) -> None:
    """Run messages until the process is stopped."""
    broker = declare(url, tally).nothing.broker
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
