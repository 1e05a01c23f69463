"""Enqueues single jobs for an idle worker and hears from each how long it took to start."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from pathlib import Path

from benchmarks.programs import plugin
from benchmarks.programs.worker import started

#: Seconds between jobs, in which the worker falls idle again; random, so as not to meet its
#: own rhythm.
PAUSE = (0.08, 0.16)

#: Seconds for one answer, at most.
LONGEST = 10.0


def main(file: Path, count: int) -> None:
    """Print the milliseconds from each enqueue() to the start of its job."""
    path = file.with_name("answers.socket")
    chance = random.Random(1)
    waited = []
    with (
        started(file, "command") as process,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answers,
    ):
        answers.bind(str(path))
        answers.settimeout(LONGEST)
        for number in range(count + 5):
            time.sleep(chance.uniform(*PAUSE))
            process.services.enqueue(plugin.answer, sent=time.monotonic_ns(), path=str(path))
            nanoseconds = int(answers.recv(64))
            if number >= 5:  # the first ones open connections
                waited.append(nanoseconds / 1e6)
    print(json.dumps({"waited": waited}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
