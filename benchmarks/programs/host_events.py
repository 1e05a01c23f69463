"""Handle events in the host's consumer role, or publish through its stream."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from rolehost.api import Record
from rolehost.roles.consumer.role import ConsumerRole

from benchmarks.programs import events_plugin
from benchmarks.programs.worker import started
from benchmarks.tally import Tally


def drain(file: Path, tally: Tally) -> None:
    """Handle events until the process is stopped."""
    events_plugin.counted = tally.count_many
    with started(file, "consumer") as process:
        role = ConsumerRole(process)
        tally.await_begin()
        role.start()
        threading.Event().wait()


def publish(file: Path, topic: str, count: int, together: int) -> None:
    """Publish batches through the stream; print events per second."""
    with started(file, "command") as process:
        stream = process.services.stream
        records = [
            Record(topic, b"x" * 100, b"key-%d" % (number % 1000)) for number in range(together)
        ]
        stream.publish(records)  # opens the connection
        began = time.perf_counter()
        for _ in range(count // together):
            stream.publish(records)
        print(json.dumps({"published": count / (time.perf_counter() - began)}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drain", file, tally]:
            drain(Path(file), Tally(Path(tally)))
        case ["publish", file, topic, count, together]:
            publish(Path(file), topic, int(count), int(together))
