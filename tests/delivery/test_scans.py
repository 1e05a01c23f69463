"""Scans that begin where the last one ended still find every row."""

from __future__ import annotations

import pytest
from rolehost.api import Limits, actor
from rolehost.delivery import ledger
from rolehost.delivery.claims import Claims
from rolehost.delivery.due import _FIRST_JOBS, DueJobs
from rolehost.delivery.scans import ScanStart

from tests.delivery.things import plain


@actor(partition="tenant", partition_limits=Limits(concurrency=1))
def tenants(job, tenant: str): ...


@pytest.fixture
def slow(bench, monkeypatch) -> None:
    """Let every scan take a second, as a long walk over dead rows does."""
    read = bench.clock.now

    def now() -> int:
        bench.clock.forward(1)
        return read()

    monkeypatch.setattr(bench.clock, "now", now)


def test_a_whole_scan_takes_a_small_part_of_the_time():
    at = [0]
    start = ScanStart(0, lambda: at[0])
    assert start.begin() == 0
    at[0] += 100
    start.end(7)
    assert start.begin() == 7
    at[0] += 1999
    assert start.begin() == 7
    at[0] += 1
    assert start.begin() == 0


def test_after_a_pause_in_a_scan_there_is_soon_a_whole_one():
    at = [0]
    start = ScanStart(0, lambda: at[0])
    start.begin()
    at[0] += 3_600_000
    start.end(7)
    at[0] += 5000
    assert start.begin() == 0


def test_a_clock_that_was_set_back_does_not_delay_the_next_whole_scan():
    at = [3_600_000]
    start = ScanStart(0, lambda: at[0])
    start.begin()
    at[0] += 100
    start.end(7)
    at[0] = 0
    assert start.begin() == 0


def test_a_due_job_that_was_committed_late_is_found(bench, slow):
    runtime = bench.make_runtime(plain)
    due = DueJobs(bench.database, bench.clock.now)
    with bench.unit_of_work() as work:
        late = work.enqueue(plain, delay=0.001)
    hide = "UPDATE rolehost_jobs SET state = ? WHERE id = ?"
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(hide, ("cancelled", late.id))
    with bench.unit_of_work() as work:
        work.enqueue(plain, delay=0.001)
    with bench.database.session():
        with bench.database.transaction() as tx:
            assert due.promote(tx, runtime.clock.now()) == 1
            tx.execute(hide, ("scheduled", late.id))
        assert any(due.next() for _ in range(10))
        with bench.database.transaction() as tx:
            assert sum(due.promote(tx, runtime.clock.now()) for _ in range(10)) == 1


def test_an_idle_worker_finds_a_partition_whose_turn_is_long_ago(bench, slow):
    runtime = bench.make_runtime(tenants)
    claims = Claims(runtime, "default", ["tenants"], "me")

    def claim() -> list[str | None]:
        with bench.database.session():
            for _ in range(20):
                if claims.may_find_jobs(runtime.clock.now()):
                    with bench.database.transaction() as tx:
                        runs = claims.claim(tx, 1, runtime.clock.now())
                    if runs:
                        bench.run(runs[0][0])
                        return [job.partition for job in runs[0]]
        return []

    for tenant in ("a", "b", "c", "a"):
        with bench.unit_of_work() as work:
            work.enqueue(tenants, tenant=tenant)
        assert claim() == [tenant]


def test_the_ends_of_claims_are_not_found_by_the_index_of_held_rows(bench):
    if bench.database.dialect != "postgresql":
        pytest.skip("the planner of SQLite has no statistics here")
    bench.make_runtime(plain)
    with bench.unit_of_work() as work:
        work.enqueue_many(plain, [{}] * 10_000)
    for sql, params in (
        (ledger._FINISH, ("completed", 1, 1, None, 1, 1, 1)),
        (ledger._COMPLETE, (1, "{1}", "{1}", "{1}")),
    ):
        with bench.database.session():
            plan = str(bench.database.read(f"EXPLAIN {sql}", params))
        assert "rolehost_jobs_pkey" in plan


def test_a_process_waits_for_the_first_job_of_its_queue(bench):
    @actor(queue="other")
    def elsewhere(job): ...

    runtime = bench.make_runtime(plain, elsewhere)
    due = DueJobs(bench.database, bench.clock.now)
    now = runtime.clock.now()
    with bench.unit_of_work() as work:
        work.enqueue(elsewhere, delay=1)
        work.enqueue(plain, delay=3)
    with bench.database.session():
        assert due.next() == now + 1000
        assert due.next_of("other") == now + 1000
        assert due.next_of("default") == now + 3000
        assert due.next_of("empty") is None


def test_a_process_reads_few_jobs_of_other_queues(bench):
    @actor(queue="other")
    def elsewhere(job): ...

    runtime = bench.make_runtime(plain, elsewhere)
    due = DueJobs(bench.database, bench.clock.now)
    now = runtime.clock.now()
    with bench.unit_of_work() as work:
        work.enqueue(plain, delay=3)
        for number in range(_FIRST_JOBS):
            work.enqueue(elsewhere, delay=1 + number / 1000)
    with bench.database.session():
        assert due.next_of("default") == now + 1000 + _FIRST_JOBS - 1
