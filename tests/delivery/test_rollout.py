"""Processes of before limits beside this version: what they leave, and how it is found.

They claim jobs, make them available and end them without a change of the partition.
"""

from __future__ import annotations

import pytest
from rolehost import schema
from rolehost.api import Limits, actor
from rolehost.delivery import sweep
from rolehost.delivery.jobs import partition_of
from rolehost.delivery.runs import KeyRun


@actor(partition="tenant", partition_limits=Limits(concurrency=2))
def tenants(job, tenant: str): ...


@actor()
def plain(job): ...


@pytest.fixture
def rolling(bench):
    """A bench during a roll-out: the migrations of the phase post are pending."""
    bench.make_runtime(plain, tenants)
    while schema.down(bench.database, schema.HOST_SET)[0].phase != "post":
        pass  # a later migration
    schema.up(bench.database, [schema.HOST_SET], phase="pre")
    return bench


def older_version(bench, sql: str) -> None:
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(sql)


def leave_a_job_of_a_key(bench) -> int:
    """Run the first of two jobs in a process of before limits; return the id of the second."""
    with bench.unit_of_work() as work:
        first, second = [work.enqueue(plain, key="k") for _ in range(2)]
    older_version(bench, f"UPDATE rolehost_jobs SET state = 'claimed' WHERE id = {first.id}")
    assert bench.claim() == []
    older_version(bench, f"UPDATE rolehost_jobs SET state = 'completed' WHERE id = {first.id}")
    assert bench.claim() == []
    return int(second.id)


def test_the_next_job_of_a_key_is_found_after_an_older_version_ended_the_first(rolling):
    left = leave_a_job_of_a_key(rolling)
    sweep.recount_limits(rolling.runtime)
    assert [job.id for job in rolling.claim()] == [left]


def test_a_limited_job_is_found_that_an_older_version_made_available(rolling):
    with rolling.unit_of_work() as work:
        late = work.enqueue(tenants, tenant="a", delay=5.0)
    older_version(rolling, "UPDATE rolehost_jobs SET state = 'available'")
    assert rolling.claim() == []
    sweep.recount_limits(rolling.runtime)
    assert [job.id for job in rolling.claim()] == [late.id]


def test_the_migrations_after_the_rollout_find_what_the_last_older_process_left(rolling):
    left = leave_a_job_of_a_key(rolling)
    schema.up(rolling.database, [schema.HOST_SET], phase="post")
    assert [job.id for job in rolling.claim()] == [left]


def test_the_sweep_does_not_look_after_the_rollout(rolling):
    schema.up(rolling.database, [schema.HOST_SET], phase="post")
    leave_a_job_of_a_key(rolling)
    sweep.recount_limits(rolling.runtime)
    assert rolling.count("rolehost_partition_changes") == 0


def test_jobs_of_a_key_run_in_order_if_an_older_version_enqueued_the_first(rolling):
    assert rolling.claim() == []  # the next claim looks at partitions first
    with rolling.unit_of_work() as work:
        jobs = [work.enqueue(plain, key="k") for _ in range(3)]
    older_version(rolling, f"UPDATE rolehost_jobs SET partition_id = NULL WHERE id = {jobs[0].id}")
    (run,) = rolling.claim_runs()
    assert isinstance(run, KeyRun)
    assert [job.id for job in run] == [job.id for job in jobs]
    assert run.partition_id == partition_of("k", None, "default", plain.name).id
    for job in run:
        rolling.run(job)
    with rolling.unit_of_work() as work:
        later = work.enqueue(plain, key="k")
    assert [job.id for job in rolling.claim()] == [later.id]


def test_a_partition_whose_jobs_run_is_not_looked_at(rolling):
    with rolling.unit_of_work() as work:
        work.enqueue_many(tenants, [{"tenant": "a"}] * 3)
    assert len(rolling.claim()) == 2
    sweep.recount_limits(rolling.runtime)
    assert rolling.count("rolehost_partition_changes") == 0


def test_all_migrations_can_be_reverted(bench):
    count = len(schema.status(bench.database, [schema.HOST_SET]))
    assert len(schema.down(bench.database, schema.HOST_SET, steps=count)) == count
    assert len(schema.up(bench.database, [schema.HOST_SET])) == count
