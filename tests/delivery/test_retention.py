"""Retention: what is deleted, in which slices, and what stays."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from rolehost.api import Limits, actor
from rolehost.delivery import administration, retention

from tests.delivery.things import plain

HOUR = 3600


@actor(partition="tenant", partition_limits=Limits(concurrency=1))
def tenants(job, tenant: str): ...


@actor(partition="tenant", partition_limits=Limits(rate=1 / 7200))
def rare(job, tenant: str): ...


def enqueue(bench, actor, count=1, **options):
    with bench.unit_of_work() as work:
        return [work.enqueue(actor, **options) for _ in range(count)]


def run_all(bench) -> None:
    while jobs := bench.claim():
        for job in jobs:
            bench.run(job)


@contextmanager
def locks(bench, sql, params):
    """Hold the locks of a statement in another thread during the block."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with bench.database.transaction() as tx:
            tx.execute(sql, params)
            held.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        over.set()
        thread.join()


def partitions(bench) -> int:
    return bench.count("rolehost_partitions")


def test_expired_rows_are_deleted_in_slices(bench, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    runtime = bench.make_runtime(plain)
    enqueue(bench, plain, 7)
    run_all(bench)
    [cancelled] = enqueue(bench, plain)
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, cancelled.id, bench.clock.now())
    bench.clock.forward(runtime.policy.keep_completed + 1)
    slices = retention.Retention(runtime)
    counts, more = [], True
    while more:
        count, more = slices.step()
        counts.append(count)
    assert counts[:4] == [3, 3, 1, 1]
    assert bench.count("rolehost_jobs") == 0


def test_a_locked_row_is_passed_over_and_deleted_later(bench):
    if "skip-locked" not in bench.database.capabilities:
        pytest.skip("one transaction writes at a time")
    runtime = bench.make_runtime(plain)
    locked, _ = enqueue(bench, plain, 2)
    run_all(bench)
    bench.clock.forward(runtime.policy.keep_completed + 1)
    with locks(bench, "UPDATE rolehost_jobs SET error = NULL WHERE id = ?", (locked.id,)):
        assert retention.delete_expired(runtime) == 1
    assert retention.delete_expired(runtime) == 1


def test_an_idle_partition_is_deleted_after_an_hour_and_made_again(bench):
    runtime = bench.make_runtime(tenants, plain)
    enqueue(bench, tenants, tenant="a")
    enqueue(bench, plain, key="k")
    run_all(bench)
    bench.claim()  # applies the ends
    bench.clock.forward(HOUR)
    assert (retention.delete_expired(runtime), partitions(bench)) == (0, 2)
    bench.clock.forward(1)
    assert (retention.delete_expired(runtime), partitions(bench)) == (2, 0)
    enqueue(bench, tenants, 2, tenant="a")
    enqueue(bench, plain, 2, key="k")
    assert len(bench.claim_runs()) == 2, "one run of each, because its jobs run one after another"


def test_a_partition_stays_while_jobs_wait_or_are_held(bench):
    runtime = bench.make_runtime(tenants, plain)
    enqueue(bench, tenants, 2, tenant="a")
    enqueue(bench, plain, 2, key="k")
    bench.claim(limit=2)
    bench.clock.forward(HOUR + 1)
    assert (retention.delete_expired(runtime), partitions(bench)) == (0, 2)


def test_a_partition_stays_until_its_rate_admits_the_next_job(bench):
    runtime = bench.make_runtime(rare)
    enqueue(bench, rare, tenant="a")
    run_all(bench)
    bench.clock.forward(HOUR + 1)
    assert (retention.delete_expired(runtime), partitions(bench)) == (0, 1)
    enqueue(bench, rare, tenant="a")
    assert bench.claim() == []
    bench.clock.forward(HOUR)
    run_all(bench)
    bench.clock.forward(2 * HOUR + 1)
    assert (retention.delete_expired(runtime), partitions(bench)) == (1, 0)
