"""Send single jobs to idle workers and receive the start latency of each."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import plugin
from benchmarks.programs.worker import started

#: Seconds between jobs, so that workers become idle again; random, so that the jobs do not
#: synchronise with the polling of the workers.
PAUSE = (0.08, 0.16)

#: Timeout in seconds for one answer.
LONGEST = 10.0

#: Jobs of each kind that do not count: the first ones open connections.
WARM = 5

#: A function that sends one job: takes the current time and the address for the answer.
Send = Callable[[int, str], object]


def main(file: Path, count: int, redis: str) -> None:
    """Print for each kind the milliseconds from the call that sends a job to the job's start.

    Args:
        file: the deployment file.
        count: jobs of each kind, sent in turns.
        redis: URL of the server on which bare Dramatiq waits too; if empty, neither Dramatiq
            nor ephemeral messages are measured.
    """
    path = str(file.with_name("answers.socket"))
    chance = random.Random(1)
    with _senders(file, redis) as senders:
        waited: dict[str, list[float]] = {kind: [] for kind in senders}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answers:
            answers.bind(path)
            answers.settimeout(LONGEST)
            for number in range(count + WARM):
                for kind, send in senders.items():
                    time.sleep(chance.uniform(*PAUSE))
                    send(time.monotonic_ns(), path)
                    nanoseconds = int(answers.recv(64))
                    if number >= WARM:
                        waited[kind].append(nanoseconds / 1e6)
    print(json.dumps(waited))


@contextmanager
def _senders(file: Path, redis: str) -> Iterator[Mapping[str, Send]]:
    with started(file, "command") as process:
        services = process.services
        senders: dict[str, Send] = {
            "durable": lambda sent, path: services.enqueue(plugin.answer, sent=sent, path=path)
        }
        if redis:
            from benchmarks.programs.dramatiq_redis import declare

            bare = declare(redis, None).answer
            senders |= {
                "ephemeral": lambda sent, path: services.send(
                    plugin.passing_answer, sent=sent, path=path
                ),
                "bare": lambda sent, path: bare.send(sent, path),
            }
        yield senders


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
