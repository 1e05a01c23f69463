"""Part of ``isolation``: enqueues its jobs, in a process that can import the plugin.

``python -m tests.proofs.isolation_load COMMAND DEPLOYMENT NUMBER …``: ``fill TENANTS JOBS``
enqueues jobs of tenants, as many of each. ``disturb BACKLOG FAILING SLOW`` enqueues those of the
three other tenants. ``pace TENANTS JOBS RATE`` enqueues jobs one by one and prints the
milliseconds from each call to the start of the job, as JSON. ``mix SEED`` enqueues jobs of the
limited actors until its input ends, and prints their number.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rolehost.api import StorageUnavailable
from rolehost.services import ProcessServices

from tests.proofs.deployed import client_services

#: Jobs enqueued in one transaction.
TOGETHER = 10_000

#: Timeout in seconds for the answer of a paced job.
LONGEST = 60.0

#: Tenants and keys of the limited actors, jobs enqueued per second, longest job in seconds, and
#: the share of jobs whose first attempt, or both attempts, fail.
TENANTS, KEYS, MIXED, DURATION, FAILS = 8, 4, 150, 0.05, 0.1


def fill(services: ProcessServices, tenants: int, jobs: int) -> None:
    """Enqueue as many jobs of each tenant, in turns."""
    _enqueue(services, (f"tenant {number % tenants}" for number in range(jobs)))


def disturb(services: ProcessServices, backlog: int, failing: int, slow: int) -> None:
    """Enqueue jobs of the three tenants that disturb others."""
    for tenant, count in (("backlog", backlog), ("failing", failing), ("slow", slow)):
        _enqueue(services, (tenant for _ in range(count)))


def _enqueue(services: ProcessServices, tenants: Iterator[str]) -> None:
    jobs = [{"number": number, "tenant": tenant} for number, tenant in enumerate(tenants)]
    for first in range(0, len(jobs), TOGETHER):
        with services.unit_of_work() as work:
            work.enqueue_many("isolated", jobs[first : first + TOGETHER])


def pace(services: ProcessServices, file: Path, tenants: int, jobs: int, rate: int) -> list[float]:
    """Enqueue jobs at a steady rate; return the milliseconds that each waited."""
    path = str(file.with_name("answers.socket"))
    Path(path).unlink(missing_ok=True)
    waited: list[float] = []
    services.database.ping()  # opens the connection: its time is not the latency of a job
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answers:
        answers.bind(path)
        answers.settimeout(LONGEST)

        def collect() -> None:
            waited.extend(int(answers.recv(64)) / 1e6 for _ in range(jobs))

        collector = threading.Thread(target=collect)
        collector.start()
        began = time.monotonic()
        for number in range(jobs):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))  # the load's own pace
            tenant = f"tenant {number % tenants}"
            sent = time.monotonic_ns()
            services.enqueue("isolated", number=number, tenant=tenant, sent=sent, path=path)
        collector.join()
    if len(waited) < jobs:
        raise SystemExit(f"{jobs - len(waited)} of {jobs} jobs did not start in {LONGEST:g} s")
    return waited


def mix(services: ProcessServices, seed: int) -> int:
    """Enqueue jobs of the limited actors until the input ends; return their number."""
    chance = random.Random(seed)
    began, count = time.monotonic(), 0
    while not _ended(began + count / MIXED - time.monotonic()):
        count += 1
        actor = chance.choice(("shared", "shared", "single", "rated", "keyed"))
        given: dict[str, object] = {"seconds": chance.uniform(0, DURATION)}
        if actor in ("shared", "single"):
            given["tenant"] = f"tenant {chance.randrange(TENANTS)}"
        if actor == "keyed":
            given["key"] = f"key {chance.randrange(KEYS)}"
        elif chance.random() < FAILS:
            given["fails"] = chance.choice((1, 2))
        _enqueue_surely(services, actor, given)
    return count


def _enqueue_surely(services: ProcessServices, actor: str, given: dict[str, object]) -> None:
    """Enqueue a job; on SQLite a frozen process may hold the lock of writers meanwhile."""
    while True:
        try:
            services.enqueue(actor, **given)
            return
        except StorageUnavailable:
            time.sleep(0.05)  # a client's pause between two tries


def _ended(seconds: float) -> bool:
    """Wait for this time; return whether the input has ended meanwhile."""
    return bool(select.select([sys.stdin], [], [], max(0.0, seconds))[0])


if __name__ == "__main__":
    command, name, *numbers = sys.argv[1:]
    with client_services(Path(name)) as services:
        match command, [int(each) for each in numbers]:
            case "fill", [tenants, jobs]:
                fill(services, tenants, jobs)
            case "disturb", [backlog, failing, slow]:
                disturb(services, backlog, failing, slow)
            case "pace", [tenants, jobs, rate]:
                print(json.dumps(pace(services, Path(name), tenants, jobs, rate)))
            case "mix", [seed]:
                print(json.dumps(mix(services, seed)))
