"""Claims of limited jobs: places, turns, order, and the counts behind them."""

from __future__ import annotations

from contextlib import contextmanager
from unittest import mock

import pytest
from rolehost.api import (
    JobQueue,
    Limits,
    PayloadError,
    RetryPolicy,
    Snooze,
    StorageUnavailable,
    Unique,
    actor,
)
from rolehost.delivery import administration, changes, limitstore, sweep
from rolehost.delivery.claims import Claims
from rolehost.delivery.jobs import Finish
from rolehost.delivery.partitions import Partitions
from rolehost.roles.background import PollingListener
from rolehost.roles.beats import Beats
from rolehost.roles.worker.ledger import LedgerConsumer


@actor(partition="tenant", partition_limits=Limits(concurrency=2))
def tenants(job, tenant: str): ...


@actor(partition="tenant")
def unlimited_tenants(job, tenant: str): ...


@actor()
def plain(job): ...


@actor(limits=Limits(concurrency=3))
def three(job): ...


def fill(bench, actor, arguments, **options) -> None:
    with bench.unit_of_work() as work:
        work.enqueue_many(actor, arguments, **options)


def partitions_of(runs) -> list[str]:
    return [job.partition for run in runs for job in run]


def held(bench) -> dict[str, int]:
    with bench.database.session():
        return dict(bench.database.read("SELECT name, held FROM rolehost_partitions"))


def test_a_partition_has_as_many_claimed_jobs_as_its_limit_over_all_processes(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 5 + [{"tenant": "b"}])
    assert sorted(partitions_of(bench.claim_runs("one"))) == ["a", "a", "b"]
    assert bench.claim_runs("two") == []
    assert held(bench) == {"a": 2, "b": 1}


def test_an_ended_job_frees_its_place(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 3)
    jobs = bench.claim("one")
    bench.run(jobs[0])
    [third] = bench.claim("two")
    assert third.id not in {job.id for job in jobs}
    assert bench.claim("two") == []


def test_the_place_of_a_lost_claim_is_freed_once(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 5)
    jobs = bench.claim("gone")
    with bench.database.session(), bench.database.transaction() as tx:
        assert bench.runtime.ledger.release(tx, "gone", bench.clock.now()) == {"default"}
    again = bench.claim("two")
    assert len(again) == 2
    assert bench.run(jobs[0]) == "claimed"  # its late end changes nothing
    assert bench.claim("two") == []


def test_partitions_get_their_turns_whatever_the_backlog_of_one(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "big"}] * 100)
    bench.claim(limit=1)
    fill(bench, tenants, [{"tenant": f"small {number}"} for number in range(5)])
    assert sorted(partitions_of(bench.claim_runs(limit=6))) == [
        "big", *(f"small {number}" for number in range(5))
    ]  # fmt: skip


def test_a_claim_that_looks_for_more_partitions_takes_no_job_twice(bench):
    bench.make_runtime(unlimited_tenants)
    claims = Claims(bench.runtime, "default", ["unlimited_tenants"], "me")
    small = [{"tenant": f"small {number}"} for number in range(12)]

    def claim(want: int) -> list[str]:
        bench.clock.forward(1)
        with bench.database.session(), bench.database.transaction() as tx:
            runs = claims.claim(tx, want, bench.clock.now())
        ids = [job.id for run in runs for job in run]
        assert len(ids) == len(set(ids))
        return partitions_of(runs)

    fill(bench, unlimited_tenants, [{"tenant": "big"}] * 400)
    for _ in range(4):  # from now on it expects many jobs of each partition
        assert len(claim(50)) == 50
    fill(bench, unlimited_tenants, small)
    assert set(claim(8)) == {"big"}
    assert "big" not in claim(12)
    fill(bench, unlimited_tenants, small)
    claimed = claim(50)
    assert claimed.count("big") == 8
    assert len(set(claimed)) == 13


def test_new_partitions_do_not_pass_one_that_waits(bench):
    @actor(limits=Limits(concurrency=1), partition="tenant")
    def one(job, tenant: str): ...

    bench.make_runtime(one)
    fill(bench, one, [{"tenant": "old"}] * 2)
    served = []
    for number in range(4):
        [job] = bench.claim()
        served.append(job.partition)
        bench.clock.forward(0.001)
        fill(bench, one, [{"tenant": f"new {number} {each}"} for each in "ab"])
        bench.run(job)
        bench.clock.forward(0.001)
    assert served.count("old") == 2


def test_a_claim_of_one_job_passes_over_partitions_without_jobs(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": tenant} for tenant in "abc"])
    for job in bench.claim():
        bench.run(job)  # its end opens its partition
    fill(bench, tenants, [{"tenant": "c"}])
    assert partitions_of(bench.claim_runs(limit=1)) == ["c"]


def test_priorities_hold_within_a_partition(bench):
    bench.make_runtime(tenants)
    with bench.unit_of_work() as work:
        low = work.enqueue(tenants, tenant="a", priority=5)
        high = work.enqueue(tenants, tenant="a", priority=1)
    assert [job.id for job in bench.claim(limit=1)] == [high.id]
    assert [job.id for job in bench.claim(limit=1)] == [low.id]


def test_a_value_given_at_the_call_replaces_the_declared_partition(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 4, partition="other")
    assert partitions_of(bench.claim_runs()) == ["other", "other"]


def test_an_actors_limit_holds_over_its_partitions_and_processes(bench):
    bench.make_runtime(three)
    fill(bench, three, [{}] * 5)
    jobs = bench.claim("one", 2) + bench.claim("two")
    assert len(jobs) == 3
    assert bench.claim("three") == []
    bench.run(jobs[0])
    assert len(bench.claim("three")) == 1


def test_a_queues_limit_holds_over_its_actors(bench):
    narrow = JobQueue("default", Limits(concurrency=2))

    @actor(queue=narrow)
    def first(job): ...

    @actor(queue=narrow)
    def second(job): ...

    bench.make_runtime(first, second)
    fill(bench, first, [{}] * 2)
    fill(bench, second, [{}] * 2)
    jobs = bench.claim()
    assert len(jobs) == 2
    bench.run(jobs[0])
    bench.run(jobs[1])
    assert len(bench.claim()) == 2


def test_a_rate_admits_a_burst_and_then_one_job_an_interval(bench):
    @actor(limits=Limits(rate=2, burst=2))
    def slow(job): ...

    bench.make_runtime(slow)
    fill(bench, slow, [{}] * 10)
    assert len(bench.claim()) == 2
    bench.clock.forward(0.4)
    assert bench.claim() == []
    bench.clock.forward(0.1)
    assert len(bench.claim()) == 1


def test_each_partition_has_its_own_rate(bench):
    @actor(partition="tenant", partition_limits=Limits(rate=1))
    def slow(job, tenant: str): ...

    bench.make_runtime(slow)
    fill(bench, slow, [{"tenant": name} for name in "aaabbb"])
    assert sorted(partitions_of(bench.claim_runs())) == ["a", "b"]
    assert bench.claim() == []
    bench.clock.forward(1.0)
    assert sorted(partitions_of(bench.claim_runs())) == ["a", "b"]


def test_unlimited_jobs_of_the_queue_do_not_wait_for_limited_ones(bench):
    bench.make_runtime(tenants, plain)
    fill(bench, tenants, [{"tenant": f"{number}"} for number in range(50)])
    fill(bench, plain, [{}] * 50)
    actors = [job.actor for _ in range(4) for job in bench.claim(limit=10)]
    assert {actors.count("plain"), actors.count("tenants")} != {0, 40}


def test_jobs_that_were_enqueued_without_their_limit_are_moved_to_their_partition(bench):
    @actor(name="tenants")
    def unlimited(job, tenant: str): ...

    bench.make_runtime(unlimited)
    fill(bench, unlimited, [{"tenant": "a"}] * 5 + [{"tenant": "b"}] * 5)
    bench.make_runtime(tenants)
    assert sorted(partitions_of(bench.claim_runs())) == ["a", "a", "b", "b"]
    assert bench.claim() == []


def test_a_job_that_is_moved_to_its_partition_still_holds_its_unique_text(bench):
    @actor(name="tenants")
    def unlimited(job, tenant: str): ...

    bench.make_runtime(unlimited)
    with bench.unit_of_work() as work:
        first = work.enqueue(unlimited, tenant="a", unique="one")
    bench.make_runtime(tenants)
    with bench.database.session(), bench.database.transaction() as tx:
        Claims(bench.runtime, "default", ["tenants"], "me")._claim_unlimited(tx, 10, ["tenants"])
    with bench.unit_of_work() as work:
        again = work.enqueue(tenants, tenant="a", unique="one")
    assert (again.id, again.created) == (first.id, False)


def test_a_waiting_job_whose_arguments_are_replaced_moves_to_the_new_partition(bench):
    bench.make_runtime(tenants)
    with bench.unit_of_work() as work:
        work.enqueue(tenants, tenant="a", unique=Unique("one", conflict="replace"))
        work.enqueue(tenants, tenant="b", unique=Unique("one", conflict="replace"))
    assert partitions_of(bench.claim_runs()) == ["b"]


def test_the_limits_of_partitions_do_not_apply_to_keys(bench):
    bench.make_runtime(tenants)
    fill_keys = [f"k{number}" for number in range(4)]
    with bench.unit_of_work() as work:
        for key in fill_keys:
            work.enqueue(tenants, tenant="a", key=key)
    assert len(bench.claim()) == 4


def test_an_older_job_of_a_key_that_is_replayed_waits_for_the_running_one(bench):
    bench.make_runtime(plain)
    with bench.unit_of_work() as work:
        old = work.enqueue(plain, key="k")
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.cancel(tx, old.id, bench.clock.now()) == (
            "cancelled",
            "queue:default",
        )
    with bench.unit_of_work() as work:
        new = work.enqueue(plain, key="k")
    [running] = bench.claim()
    assert running.id == new.id
    with bench.database.session(), bench.database.transaction() as tx:
        administration.retry(tx, old.id, bench.clock.now())
    assert bench.claim() == []
    bench.run(running)
    assert [job.id for job in bench.claim()] == [old.id]


def test_a_job_of_a_key_that_waits_for_a_retry_holds_up_the_later_ones(bench):
    @actor(retry=RetryPolicy(attempts=2, base=10, jitter=0))
    def fails(job):
        raise ValueError

    bench.make_runtime(fails, plain)
    with bench.unit_of_work() as work:
        first = work.enqueue(fails, key="k")
    [job] = bench.claim()
    assert bench.run(job) == "retrying"
    with bench.unit_of_work() as work:
        later = work.enqueue(plain, key="k")
    assert bench.claim() == []
    bench.clock.forward(10)
    assert [each.id for each in bench.claim(limit=1)] == [first.id]
    bench.run(bench_job(bench, first.id))
    assert [each.id for each in bench.claim()] == [later.id]


def test_a_delayed_job_of_a_key_holds_up_the_later_ones(bench):
    bench.make_runtime(plain)
    with bench.unit_of_work() as work:
        first = work.enqueue(plain, key="k")
        work.enqueue(plain, key="k", delay=60)
        work.enqueue(plain, key="k")
    assert [job.id for job in bench.claim()] == [first.id]


def bench_job(bench, number):
    """Return the claimed row of a job, as its process holds it."""
    from rolehost.delivery.claims import _COLUMNS
    from rolehost.delivery.jobs import ClaimedJob

    with bench.database.session():
        sql = f"SELECT {_COLUMNS} FROM rolehost_jobs WHERE id = ?"
        return ClaimedJob(*bench.database.read(sql, (number,))[0])


def test_a_cancelled_job_of_a_key_lets_the_next_one_run(bench):
    bench.make_runtime(plain)
    with bench.unit_of_work() as work:
        first = work.enqueue(plain, key="k", delay=60)
        second = work.enqueue(plain, key="k")
    assert bench.claim() == []
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, first.id, bench.clock.now())
    assert [job.id for job in bench.claim()] == [second.id]


def test_a_key_holds_over_queues(bench):
    @actor(queue="other")
    def elsewhere(job): ...

    bench.make_runtime(plain, elsewhere)
    with bench.unit_of_work() as work:
        first = work.enqueue(elsewhere, key="k")
        second = work.enqueue(plain, key="k")
    assert bench.claim() == []
    [job] = bench.claim_runs(queue="other")[0]
    assert job.id == first.id
    assert bench.claim() == []
    bench.run(job)
    assert [each.id for each in bench.claim()] == [second.id]


def test_a_snoozed_job_frees_its_place(bench):
    @actor(limits=Limits(concurrency=1))
    def waits(job):
        return Snooze(60)

    bench.make_runtime(waits)
    fill(bench, waits, [{}] * 2)
    run = bench.claim_runs()[0]
    assert bench.run(run[0]) == "scheduled"


def test_a_limit_set_at_run_time_replaces_the_declared_one(bench):
    bench.make_runtime(three)
    fill(bench, three, [{}] * 5)
    with bench.database.session(), bench.database.transaction() as tx:
        limitstore.store(tx, "actor:three", Limits(concurrency=4), bench.clock.now())
    assert len(bench.claim()) == 4
    with bench.database.session(), bench.database.transaction() as tx:
        assert limitstore.reset(tx, "actor:three", bench.clock.now())
        assert not limitstore.reset(tx, "actor:three", bench.clock.now())
    assert bench.claim() == []


@pytest.mark.parametrize("state", ["completed", "available"])
def test_a_lost_claim_frees_no_place_beside_a_later_claim_of_the_same_job(bench, state):
    bench.make_runtime(three)
    fill(bench, three, [{}] * 2)
    lost, _ = bench.claim()
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, "me", bench.clock.now())
    again, _ = bench.claim()
    end = Finish(state, bench.clock.now(), False, None)
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.finish_many(tx, [(lost, end), (again, end)], bench.clock.now())
        freed = tx.execute("SELECT sum(freed) FROM rolehost_partition_changes").fetchone()
    assert freed == (1,)


def test_the_sweep_corrects_counts_that_an_older_version_left_wrong(bench):
    bench.make_runtime(tenants, three)
    fill(bench, tenants, [{"tenant": "a"}] * 4)
    fill(bench, three, [{}] * 4)
    bench.claim()
    with bench.database.session(), bench.database.transaction() as tx:
        # An older version ends jobs without a change.
        tx.execute("UPDATE rolehost_jobs SET state = 'completed' WHERE state = 'claimed'")
    assert bench.claim() == []
    bench.clock.forward(61)
    sweep.recount_limits(bench.runtime)
    assert len(bench.claim()) == 3  # two of the partition, and the last of the actor


def test_the_server_ends_the_claim_of_a_lost_host_early(postgres):
    bench = postgres
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}])
    shown = "SHOW idle_in_transaction_session_timeout"
    claims = Claims(bench.runtime, "default", ["tenants"], "me")
    with bench.database.session():
        with bench.database.transaction() as tx:
            claims.claim(tx, 1, bench.clock.now())
            assert tx.execute(shown).fetchone() == ("3s",)
        assert bench.database.read(shown) == [("1min",)]


@pytest.mark.parametrize(("queue", "missed"), [("default", True), ("other", False)])
def test_a_claim_has_missed_only_changes_of_its_queue(postgres, queue, missed):
    @actor(queue="other")
    def elsewhere(job): ...

    bench = postgres
    bench.make_runtime(tenants, elsewhere)
    fill(bench, tenants, [{"tenant": "a"}])
    claims = bench.claims_of("me", queue)
    table = "CAST(CAST('rolehost_partition_changes' AS regclass) AS oid)::bigint"
    with bench.lost_host(f"SELECT pg_advisory_xact_lock({changes._LOCK} + {table})"):
        assert bench.claim_runs(queue=queue) == []
        assert claims.missed == missed
    bench.claim_runs(queue=queue)
    assert not claims.missed


def test_a_clock_that_is_set_back_delays_no_turn(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 3)
    bench.run(bench.claim(limit=1)[0])
    bench.clock.forward(-3600)
    sweep.rewind_limits(bench.runtime)
    fill(bench, tenants, [{"tenant": "b"}] * 3)
    served = []
    for _ in range(4):
        bench.clock.forward(0.001)
        [job] = bench.claim(limit=1)
        bench.run(job)
        served.append(job.partition)
    assert served.count("a") == 2


def test_a_clock_that_is_set_back_closes_no_rate(bench):
    @actor(limits=Limits(rate=1.0), partition="tenant", partition_limits=Limits(rate=1.0))
    def rated(job, tenant: str): ...

    bench.make_runtime(rated)
    fill(bench, rated, [{"tenant": "a"}] * 3)
    assert len(bench.claim()) == 1
    bench.clock.forward(-3600)
    sweep.rewind_limits(bench.runtime)
    assert bench.claim() == []
    for _ in range(2):  # the time of the actor is bounded first, then that of the partition
        bench.clock.forward(1.0)
        found = bench.claim()
    assert len(found) == 1
    assert bench.claim() == [], "one a second"


def test_a_partition_keeps_its_turn_while_the_actor_has_no_room(bench):
    @actor(limits=Limits(concurrency=1), partition="tenant")
    def one(job, tenant: str): ...

    bench.make_runtime(one)
    fill(bench, one, [{"tenant": tenant} for tenant in "abc" * 3])
    served = []
    for _ in range(9):
        bench.clock.forward(0.001)
        [job] = bench.claim()
        served.append(job.partition)
        bench.run(job)
    assert [sorted(served[at : at + 3]) for at in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_a_limit_that_is_raised_at_run_time_opens_the_partitions_that_it_closed(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 5)
    assert len(bench.claim()) == 2
    with bench.database.session(), bench.database.transaction() as tx:
        name = "partition:tenants/a"
        limitstore.store(tx, name, Limits(concurrency=4), bench.clock.now())
    bench.clock.forward(1.0)
    assert len(bench.claim()) == 2


def test_a_unit_of_work_limits_one_partition_and_ends_the_limit(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": name} for name in "aaaaabbbbb"])
    with bench.unit_of_work() as work:
        work.limit_partition(tenants, "a", Limits(concurrency=3))
    assert sorted(job.partition for job in bench.claim()) == ["a", "a", "a", "b", "b"]
    with bench.unit_of_work() as work:
        work.limit_partition(tenants, "b", Limits(concurrency=4))
        work.limit_partition(tenants, "a", None)
    bench.clock.forward(1.0)
    assert [job.partition for job in bench.claim()] == ["b", "b"]


def test_the_rate_of_a_key_is_limited_by_its_name(bench):
    bench.make_runtime(tenants)
    with bench.unit_of_work() as work:
        work.limit_partition(tenants, "a", Limits(rate=1, burst=1))
    fill(bench, tenants, [{"tenant": "x"}] * 3, key="a")
    fill(bench, tenants, [{"tenant": "x"}], key="b")
    first = bench.claim()
    assert sorted(job.key for job in first) == ["a", "b"]
    for job in first:
        bench.run(job)
    assert bench.claim() == []
    bench.clock.forward(1.0)
    assert [job.key for job in bench.claim()] == ["a"]


def test_a_limit_of_a_partition_that_is_rolled_back_does_not_apply(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 5)
    with pytest.raises(ZeroDivisionError), bench.unit_of_work() as work:
        work.limit_partition(tenants, "a", Limits(concurrency=4))
        raise ZeroDivisionError
    assert len(bench.claim()) == 2


@pytest.mark.parametrize("limits", [Limits(), 3, {"rate": 2}])
def test_a_limit_of_a_partition_has_a_number(bench, limits):
    bench.make_runtime(tenants)
    with pytest.raises(TypeError, match="limits must be Limits"), bench.unit_of_work() as work:
        work.limit_partition(tenants, "a", limits)


def test_a_raised_limit_opens_its_partitions_although_a_claim_was_not_committed(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 5)
    consumer = LedgerConsumer(
        bench.runtime, queue="default", actors=["tenants"], owner="me", threads=9, most=9,
        listener=PollingListener(), beats=Beats(),
    )  # fmt: skip
    assert consumer._cycle()
    while consumer.take():
        pass
    with bench.database.session(), bench.database.transaction() as tx:
        limitstore.store(tx, "partition:tenants/a", Limits(concurrency=4), bench.clock.now())
    bench.clock.forward(1.0)
    with bench.unit_of_work() as work:
        work.enqueue(tenants, tenant="b")  # else it would not look for limits at all
    with failing(bench.database), pytest.raises(StorageUnavailable):
        consumer._cycle()
    assert consumer._cycle()
    assert sorted(partitions_of(consumer._ready)) == ["a", "a", "b"]


@contextmanager
def failing(database):
    """Roll back each transaction of the block at its end."""
    transaction = database.transaction

    @contextmanager
    def lost():
        with transaction() as tx:
            yield tx
            raise StorageUnavailable("the connection was lost")

    with mock.patch.object(database, "transaction", lost):
        yield


def test_a_rate_that_is_raised_at_run_time_admits_jobs_soon(bench):
    @actor(limits=Limits(rate=0.001))
    def slow(job): ...

    bench.make_runtime(slow)
    fill(bench, slow, [{}] * 3)
    assert len(bench.claim()) == 1
    with bench.database.session(), bench.database.transaction() as tx:
        limitstore.store(tx, "actor:slow", Limits(rate=1.0), bench.clock.now())
    bench.clock.forward(1.0)
    assert bench.claim() == []
    bench.clock.forward(1.0)
    assert len(bench.claim()) == 1


def test_jobs_count_in_a_limit_from_the_moment_it_is_set_for_the_first_time(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}])
    assert len(bench.claim()) == 1
    with bench.database.session(), bench.database.transaction() as tx:
        limitstore.store(tx, "actor:tenants", Limits(concurrency=2), bench.clock.now())
    fill(bench, tenants, [{"tenant": "b"}])
    assert len(bench.claim()) == 1, "this process does not follow the limit yet"
    with bench.database.session():
        assert bench.database.read("SELECT held FROM rolehost_limits") == [(2,)]


def test_a_process_without_jobs_does_not_wait_for_a_rate_that_admits_one_already(bench):
    @actor(limits=Limits(rate=1.0))
    def slow(job): ...

    bench.make_runtime(slow)
    fill(bench, slow, [{}])
    [job] = bench.claim()
    bench.run(job)
    bench.clock.forward(5.0)
    claims = bench.claims_of("me")
    with bench.database.session():
        assert claims.may_find_jobs(bench.clock.now())
    assert bench.claim() == []
    with bench.database.session():
        assert claims.next_due() is None


def test_key_and_partition_exclude_each_other(bench):
    bench.make_runtime(plain)
    with bench.unit_of_work() as work, pytest.raises(PayloadError, match="exclude each other"):
        work.enqueue(plain, key="k", partition="p")


def test_a_partition_function_that_fails_is_an_error_at_the_call(bench):
    @actor(partition=lambda number: 1 / number)
    def divides(job, number: int): ...

    bench.make_runtime(divides)
    with bench.unit_of_work() as work:
        with pytest.raises(PayloadError, match="partition of actor divides: ZeroDivisionError"):
            work.enqueue(divides, number=0)
        with pytest.raises(PayloadError, match="partition must be a str, not float"):
            work.enqueue(divides, number=1)
    assert bench.count("rolehost_jobs") == 0


def test_a_partition_that_ends_and_claims_leave_as_it_was_is_not_written(bench, monkeypatch):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}] * 9)
    claims = Claims(bench.runtime, "default", ["tenants"], "me")
    ledger, written = bench.runtime.ledger, []

    def cycle(ended, want: int = 10):
        bench.clock.forward(1)
        with bench.database.session(), bench.database.transaction() as tx:
            ends = [(job, Finish("completed", job.run_at, True, None)) for job in ended]
            own = ledger.end_many(tx, ends, bench.clock.now())
            return [job for run in claims.claim(tx, want, bench.clock.now(), 0, own) for job in run]

    jobs = cycle([])
    update = Partitions._update
    monkeypatch.setattr(
        Partitions,
        "_update",
        lambda self, tx, partitions: (written.extend(partitions), update(self, tx, partitions)),
    )
    for _ in range(2):
        jobs = cycle(jobs)
        assert len(jobs) == 2
    assert not written
    assert held(bench) == {"a": 2}
    jobs = cycle(jobs, want=1)  # others may wait for a turn now
    assert len(jobs) == 1
    assert [each.held for each in written] == [1]
    bench.clock.forward(10)
    written.clear()
    fill(bench, tenants, [{"tenant": "b"}])
    assert len(cycle(jobs)) == 3
    assert [(each.name, each.held) for each in written] == [("a", 2)]
    assert held(bench) == {"a": 2, "b": 1}


def test_a_partition_stays_open_while_another_transaction_has_locked_its_job(postgres):
    bench = postgres
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "a"}])
    with bench.lost_host("SELECT 1 FROM rolehost_jobs FOR SHARE"):
        assert bench.claim() == []
    assert len(bench.claim()) == 1


def test_a_claim_applies_only_the_changes_that_it_needs_of_very_many(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": str(number)} for number in range(250)])
    claims, claimed, left = bench.claims_of("me"), [], []
    while len(claimed) < 250:
        claimed += bench.claim(limit=10)
        left.append(bench.count("rolehost_partition_changes"))
        assert claims.missed == (left[-1] > 0)
    assert left[:3] == [150, 50, 0]
    assert len({job.id for job in claimed}) == 250


def test_a_place_that_was_freed_is_not_left_behind_very_many_changes(bench):
    bench.make_runtime(tenants)
    fill(bench, tenants, [{"tenant": "full"}] * 3)
    job, _ = bench.claim()
    fill(bench, tenants, [{"tenant": str(number)} for number in range(50)])
    bench.run(job)
    fill(bench, tenants, [{"tenant": str(number)} for number in range(50, 300)])
    bench.claim(limit=10)
    assert bench.count("rolehost_partition_changes") == 0
    assert held(bench)["full"] == 1


def test_a_due_job_is_claimed_in_time_while_others_are(bench):
    bench.make_runtime(tenants)
    claims = Claims(bench.runtime, "default", ["tenants"], "me")

    def claim() -> list[str]:
        with bench.database.session(), bench.database.transaction() as tx:
            return partitions_of(claims.claim(tx, 100, bench.clock.now()))

    fill(bench, tenants, [{"tenant": "first"}], delay=1)
    fill(bench, tenants, [{"tenant": "late"}], delay=2)
    bench.clock.forward(1)
    assert claim() == ["first"]
    bench.clock.forward(1)
    claimed = []
    for number in range(6):
        fill(bench, tenants, [{"tenant": str(number)}])
        claimed += claim()
        bench.clock.forward(0.01)
    assert sorted(claimed) == ["0", "1", "2", "3", "4", "5", "late"]
