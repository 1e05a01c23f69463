"""Part of ``isolation``: what three tenants with a backlog, failing and slow jobs do to others."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.children import finish
from benchmarks.postgres import Program, workers
from tests.proofs.kit import Task
from tests.proofs.ledgers import Ledger, Make

#: The target of the plugin's entry point.
PLUGIN = "tests.proofs.isolation_plugin"


class Size(NamedTuple):
    """The size of a run.

    Attributes:
        tenants: the other tenants.
        jobs: their jobs, for the throughput.
        paced: their jobs that are enqueued one by one, for the latency.
        rate: of the paced jobs, per second.
        disturbing: waiting jobs of the tenants with a backlog, with failing and with slow jobs.
        patience: seconds after which a run ends, even if jobs are left.
        order: whether the three tenants disturb each run.
    """

    tenants: int
    jobs: int
    paced: int
    rate: int
    disturbing: tuple[int, int, int]
    patience: float
    order: tuple[bool, ...]


FULL = Size(100, 60_000, 2000, 100, (100_000, 1000, 1000), 120.0, (False, True, True, False))
SHORT = Size(100, 15_000, 300, 100, (10_000, 500, 200), 30.0, (False, True))


@dataclass(slots=True)
class Seen:
    """What the other tenants see: jobs per second, and milliseconds until their jobs start."""

    rates: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The mean rate."""
        return statistics.mean(self.rates)

    @property
    def p99(self) -> float:
        """The 99th percentile of the latency in milliseconds."""
        return statistics.quantiles(self.waited, n=100)[98]


def measure(make: Make, size: Size, task: Task) -> tuple[Seen, Seen]:
    """Return what the others see alone, and what they see beside the three tenants, in turns."""
    seen = {False: Seen(), True: Seen()}
    for disturbed in size.order:
        with make(PLUGIN) as ledger:
            if disturbed:
                _load(ledger, "disturb", *size.disturbing)
            _load(ledger, "fill", size.tenants, size.jobs)
            ledger.settle()
            _run(ledger, size, disturbed, seen[disturbed])
        task.advance()
    return seen[False], seen[True]


def _run(ledger: Ledger, size: Size, disturbed: bool, seen: Seen) -> None:
    program = Program("host_postgres", [], ["drain", str(ledger.made.file)])
    with workers(program, ledger.made) as (tally, _):
        tally.begin()
        began = time.perf_counter()
        while tally.total < size.jobs and time.perf_counter() - began < size.patience:
            time.sleep(0.002)  # other processes count in shared memory, which has no event
        seen.rates.append(tally.total / (time.perf_counter() - began))
        seen.waited += json.loads(_load(ledger, "pace", size.tenants, size.paced, size.rate))
        if disturbed:
            left = ledger.execute("SELECT count(*) FROM rolehost_jobs WHERE state = 'available'")
            assert left[0][0], "the backlog was over before the end of the measurement"


def _load(ledger: Ledger, command: str, *numbers: int) -> str:
    given = [command, str(ledger.made.file), *map(str, numbers)]
    return finish(
        ["-m", "tests.proofs.isolation_load", *given], ledger.made.folder, ledger.made.env
    )
