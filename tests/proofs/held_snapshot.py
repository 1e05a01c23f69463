"""The ledger keeps its speed while sessions hold snapshots, so that dead rows cannot be removed."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection

from tests.proofs.kit import Figures, Options, Task
from tests.proofs.ledgers import Drained, Make, drain, ledgers

PROMISE = (
    "On PostgreSQL, while a session is idle in transaction and four sessions read, each in one"
    " transaction all the time, 500,000 jobs run at 0.9 or more of the rate that they have while"
    " these sessions use short transactions"
)
DURATION = "about 3 min; --short: 30 s"

#: Jobs of a run, and runs of each kind, in a full and a short proof.
JOBS, JOBS_SHORT = 500_000, 100_000
RUNS, RUNS_SHORT = 2, 1

#: Minimum ratio of the rates. A short proof compares processor time, which other load disturbs
#: less, over few jobs, in which the caches are not warm yet.
RATIO, RATIO_SHORT = 0.9, 0.75

#: Seconds after which a run ends, even if jobs are left.
PATIENCE = 240.0

READERS = 4
#: Seconds between two reads of a reader.
PAUSE = 0.05
READ = "SELECT id, state FROM rolehost_jobs ORDER BY id DESC LIMIT 20"


def prove(options: Options) -> Figures:
    """Run the same jobs beside held snapshots and beside short transactions, in turns."""
    jobs = JOBS_SHORT if options.short else JOBS
    order = [True, False, False, True][: 2 * (RUNS_SHORT if options.short else RUNS)]
    task = options.progress(len(order), "runs")
    runs: dict[bool, list[Drained]] = {True: [], False: []}
    with ledgers("postgres") as make:
        for held in order:
            runs[held].append(_run(make, jobs, held, task))
    rate = {held: statistics.mean(each.rate for each in runs[held]) for held in runs}
    cost = {held: statistics.mean(each.cost for each in runs[held]) for held in runs}
    figures = {
        "jobs": jobs,
        "rate_held": round(rate[True]),
        "rate_short": round(rate[False]),
        "ratio": round(rate[True] / rate[False], 3),
        "cost_ratio": round(cost[False] / cost[True], 3),
        "ran_held": min(each.jobs for each in runs[True]),
        "tenths_held": " ".join(each.shown() for each in runs[True]),
        "tenths_short": " ".join(each.shown() for each in runs[False]),
    }
    name, least = ("cost_ratio", RATIO_SHORT) if options.short else ("ratio", RATIO)
    assert figures[name] >= least, f"{name} {figures[name]} < {least}: {figures}"
    return figures


def _run(make: Make, jobs: int, held: bool, task: Task) -> Drained:
    with make() as ledger:
        ledger.insert(jobs)
        ledger.settle()
        with _sessions(ledger.where, held):
            drained = drain(ledger, jobs, PATIENCE)
    task.advance()
    return drained


@contextmanager
def _sessions(url: str, held: bool) -> Iterator[None]:
    """Read with four sessions during the block; if ``held``, each and a fifth hold a snapshot."""
    over = threading.Event()
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(psycopg2.connect(url))) for _ in range(READERS + 1)]
        for session in sessions:
            if held:
                session.set_session(isolation_level="REPEATABLE READ", readonly=True)
                _read(session)
            else:
                session.autocommit = True
        threads = [
            threading.Thread(target=_read_until, args=(session, over), daemon=True)
            for session in sessions[1:]
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _read_until(session: Connection, over: threading.Event) -> None:
    while not over.wait(PAUSE):
        _read(session)


def _read(session: Connection) -> None:
    with session.cursor() as cursor:
        cursor.execute(READ)
        cursor.fetchall()
