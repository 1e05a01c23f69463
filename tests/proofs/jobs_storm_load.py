"""Part of ``jobs-storm``: enqueues the jobs, in a process that can import the plugin.

``python -m tests.proofs.jobs_storm_load DEPLOYMENT SEED JOBS SECONDS`` enqueues about this number
of jobs over this time. Each transaction has a row in ``storm_sent`` with the number of its jobs, so
that a transaction whose commit was not answered is neither counted nor sent twice.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rolehost.api import Services, StorageUnavailable, Unique, UnitOfWork
from rolehost_batches import call, enqueue_batch

from tests.proofs.deployed import client_services
from tests.proofs.jobs_storm_plugin import ATTEMPTS, callback, grouped, plain, tracked

#: Jobs of a kind in one transaction; kinds in one transaction; and the share of jobs that fail.
TOGETHER, KINDS, FAILS = 25, 4, 0.1
TENANTS, KEYS, TEXTS = 12, 8, 50


class Mix:
    """Enqueues jobs of each kind in a unit of work; each method returns their number."""

    def __init__(self, services: Services, chance: random.Random) -> None:
        self._services = services
        self._chance = chance
        self.recent: list[int] = []

    def kinds(self) -> list[Callable[[UnitOfWork], int]]:
        """Return the kinds of one transaction."""
        known = [
            self._plain,
            self._outcomes,
            self._timed,
            self._keyed,
            self._others,
            self._unique,
            self._waiting,
            self._batch,
            self._batch,
            self._cancel,
        ]
        # One order for all transactions, because of the unique texts.
        return [each for each in known if self._chance.random() < KINDS / len(known)]

    def _fails(self) -> dict[str, Any]:
        failing = self._chance.random() < FAILS
        return {"fails": self._chance.randint(1, ATTEMPTS)} if failing else {}

    def _many(self, work: UnitOfWork, actor: str, **options: Any) -> int:
        arguments = [self._fails() for _ in range(TOGETHER)]
        jobs = work.enqueue_many(actor, arguments, return_jobs=True, **options)
        self.recent = [job.id for job in jobs]
        return len(jobs)

    def _plain(self, work: UnitOfWork) -> int:
        priority = self._chance.randint(-5, 5)
        return self._many(work, "storm.plain", priority=priority, spread=1.0)

    def _others(self, work: UnitOfWork) -> int:
        actors = ("storm.grouped", "storm.keeps", "storm.tracked", "storm.grouped")
        return self._many(work, self._chance.choice(actors))

    def _keyed(self, work: UnitOfWork) -> int:
        keyed = self._many(work, "storm.keyed", key=f"key {self._chance.randrange(KEYS)}")
        tenants = [
            {"tenant": f"tenant {self._chance.randrange(TENANTS)}", **self._fails()}
            for _ in range(TOGETHER)
        ]
        return keyed + work.enqueue_many("storm.parted", tenants)

    def _outcomes(self, work: UnitOfWork) -> int:
        for how in ("dead", "raised", "returned", "snooze"):
            work.enqueue("storm.outcome", how=how)
        for _ in range(4):
            work.enqueue("storm.old")
        rated = work.enqueue_many("storm.rated", [{}] * TOGETHER)
        if self._chance.random() < FAILS:
            work.enqueue("storm.slow")
            rated += 1
        return 8 + rated

    def _timed(self, work: UnitOfWork) -> int:
        now = self._services.clock.now()
        for _ in range(TOGETHER):
            at = now + self._chance.randrange(3000)
            expires = now + self._chance.randrange(1, 6000)
            work.enqueue(
                "storm.timed",
                at=datetime.fromtimestamp(at / 1000, UTC),
                expires_at=datetime.fromtimestamp(expires / 1000, UTC),
                earliest=at,
                latest=expires,
            )
        return TOGETHER

    def _unique(self, work: UnitOfWork) -> int:
        created = 0
        for number in sorted(self._chance.sample(range(TEXTS), 10)):
            text = f"text {number}"
            created += work.enqueue("storm.unique", text=text, unique=Unique(text)).created
        return created

    def _waiting(self, work: UnitOfWork) -> int:
        arguments = [
            {"seconds": self._chance.uniform(0, 0.5), **self._fails()} for _ in range(TOGETHER)
        ]
        return work.enqueue_many("storm.waits", arguments)

    def _batch(self, _work: UnitOfWork) -> int:
        actors = (plain, tracked, grouped)
        steps = [
            [call(self._chance.choice(actors), **self._fails()) for _ in range(count)]
            for count in (4, 1, 3)
        ]
        enqueue_batch(
            self._services,
            *steps,
            on_success=call(callback, kind="success"),
            on_failure=call(callback, kind="failure"),
            on_end=call(callback, kind="end"),
        )
        return 11

    def _cancel(self, work: UnitOfWork) -> int:
        work.cancel(*self._chance.sample(self.recent, min(3, len(self.recent))))
        return 0


def send(services: Services, seed: int, jobs: int, seconds: float) -> None:
    """Enqueue transaction after transaction until there are enough jobs."""
    mix = Mix(services, random.Random(seed))
    began, sent, number = time.monotonic(), 0, 0
    while sent < jobs:
        time.sleep(max(0.0, began + seconds * sent / jobs - time.monotonic()))  # the load's pace
        number += 1
        sent += _surely(services, mix, number)


def _surely(services: Services, mix: Mix, number: int) -> int:
    """Commit one transaction; return the number of its jobs."""
    database = services.database.peewee
    while True:
        try:
            with services.unit_of_work() as work:
                count = sum(kind(work) for kind in mix.kinds())
                marks = f"{database.param}, {database.param}"
                database.execute_sql(
                    f"INSERT INTO storm_sent (id, jobs) VALUES ({marks})", (number, count)
                )
            return count
        except StorageUnavailable:
            time.sleep(0.1)  # a client's pause between two tries
        found = _found(services, number)
        if found is not None:
            return found


def _found(services: Services, number: int) -> int | None:
    """Return the number of jobs of a transaction whose commit was not answered, if it is there."""
    while True:
        try:
            with services.database.session():
                rows = services.database.read("SELECT jobs FROM storm_sent WHERE id = ?", (number,))
        except StorageUnavailable:
            time.sleep(0.1)  # a client's pause between two tries
            continue
        return int(rows[0][0]) if rows else None


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    with client_services(Path(name)) as services:
        services.bind_models()
        send(services, int(numbers[0]), int(numbers[1]), float(numbers[2]))
