"""Part of ``upgrade``: enqueues jobs, with the version of the host that runs this file.

``upgrade_load.py DEPLOYMENT backlog FIRST JOBS`` enqueues waiting, delayed, keyed and dying jobs, a
quarter of each. ``… steady FIRST RATE [unique]`` enqueues jobs one by one until its input ends,
delayed, keyed and failing ones among them, and unique ones if asked for. Jobs are numbered from
FIRST; the numbers that were acknowledged are printed as JSON.
"""

from __future__ import annotations

import json
import random
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.services import ProcessServices

#: Jobs in one transaction of the backlog, and its keys. Jobs after which the keys change.
TOGETHER, KEYS, AGE = 250, 40, 80

#: Seconds: the longest delays of the backlog and of the steady load, and the longest job.
LATE, SOON, DURATION = 30.0, 4.0, 0.03


def backlog(services: ProcessServices, first: int, jobs: int) -> list[int]:
    """Enqueue the backlog; return the numbers of its jobs."""
    share, chance = jobs // 4, random.Random(first)
    numbers = iter(range(first, first + jobs))
    for _ in range(0, share, TOGETHER):
        size = min(TOGETHER, share)
        with services.unit_of_work() as work:
            work.enqueue_many("effect", [_arguments(chance, next(numbers)) for _ in range(size)])
            work.enqueue_many(
                "effect",
                [_arguments(chance, next(numbers)) for _ in range(size)],
                delay=chance.uniform(1, LATE),
            )
            work.enqueue_many("dying", [{"number": next(numbers)} for _ in range(size)])
            for _ in range(size):
                number = next(numbers)
                name = f"{first}-{number % KEYS}"
                work.enqueue("effect", **_arguments(chance, number), name=name, key=name)
    return list(range(first, next(numbers, first + jobs)))


def _arguments(chance: random.Random, number: int) -> dict[str, object]:
    return {"number": number, "seconds": chance.uniform(0, DURATION)}


def steady(services: ProcessServices, first: int, rate: float, unique: bool) -> dict[str, object]:
    """Enqueue jobs of every kind at a steady rate; return the numbers and the errors."""
    chance, done, errors = random.Random(first), [], []
    began = time.monotonic()
    for number in _numbers(first, began, rate):
        given = _arguments(chance, number)
        if chance.random() < 0.1:
            given["fails"] = 1
        options: dict[str, object] = {}
        if chance.random() < 0.4:
            options["delay"] = chance.uniform(0, SOON)
        if chance.random() < 0.5:
            # Each key has a few jobs, so that no later job hides that one of them is forgotten.
            given["name"] = options["key"] = f"{number // AGE * AGE}-{chance.randrange(8)}"
        elif unique and chance.random() < 0.3:
            options["unique"] = f"only {number}"
        try:
            with services.unit_of_work() as work:
                work.enqueue("effect", **given, **options)
            done.append(number)
        except Exception as error:  # nothing was enqueued, as far as is known
            errors.append(f"{type(error).__name__}: {error}")
    return {"numbers": done, "errors": errors}


def _numbers(first: int, began: float, rate: float) -> Iterator[int]:
    """Count at the rate until the input ends."""
    number = first
    while True:
        wait = began + (number - first) / rate - time.monotonic()
        if select.select([sys.stdin], [], [], max(0.0, wait))[0]:
            return
        yield number
        number += 1


if __name__ == "__main__":
    file, command, *given = sys.argv[1:]
    services = ProcessServices(compose(load(Path(file))), role="command")
    try:
        if command == "backlog":
            print(json.dumps(backlog(services, int(given[0]), int(given[1]))))
        else:
            print(json.dumps(steady(services, int(given[0]), float(given[1]), "unique" in given)))
    finally:
        services.close()
