"""Sends single jobs to idle workers and hears from each how long it took to start."""

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

#: Seconds between jobs, in which workers fall idle again; random, so as not to meet their own
#: rhythm.
PAUSE = (0.08, 0.16)

#: Seconds for one answer, at most.
LONGEST = 10.0

#: Jobs of each kind that are not counted: the first ones open connections.
WARM = 5

#: Sends one job: given the time on this machine's clock, and where to answer.
Send = Callable[[int, str], object]


def main(file: Path, count: int, redis: str) -> None:
    """Print by kind the milliseconds from each call that sends a job to the start of it.

    Args:
        file: the deployment.
        count: jobs of each kind, sent in turns.
        redis: URL of the server on which Dramatiq alone waits too; empty: nobody does, and
            ephemeral messages are not sent either.
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
