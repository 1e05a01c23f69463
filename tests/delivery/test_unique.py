"""Unique jobs: how long a text is reserved, and how a new call changes the existing job."""

from __future__ import annotations

import math
import threading

import pytest
from rolehost.api import PayloadError, Unique, actor
from rolehost.api.delivery import DeliverySettings
from rolehost.delivery import administration, retention


@actor(name="shop.count")
def count(context, n: int = 0):
    pass


@actor(name="shop.other")
def other(context, n: int = 0):
    pass


@pytest.fixture
def unique(bench):
    """Enqueue a job with a unique text in a separate unit of work."""
    bench.make_runtime(count, other)

    def enqueue(n=0, *, each=count, delay=None, **rule):
        with bench.unit_of_work() as work:
            return work.enqueue(each, n=n, delay=delay, unique=Unique("shop.count", **rule))

    return enqueue


def arguments(bench, number):
    with bench.database.session():
        row = bench.database.read("SELECT arguments FROM rolehost_jobs WHERE id = ?", (number,))
    return bytes(row[0][0])


def test_a_job_that_waits_takes_the_text_and_a_plain_text_means_the_same(bench, unique):
    first = unique(1)
    assert unique(2) == type(first)(first.id, "shop.count", created=False)
    with bench.unit_of_work() as work:
        assert not work.enqueue(count, unique="shop.count").created
        assert work.enqueue(count, unique="shop.count 2").created
    assert arguments(bench, first.id) == b'{"n":1}'


def test_a_job_that_a_process_has_taken_leaves_the_text_to_the_next(bench, unique):
    first = unique()
    claimed = bench.claim()
    second = unique()
    assert second.created
    assert not unique().created, "the second waits"
    assert bench.run(claimed[0]) == "completed"
    assert [job.id for job in bench.claim()] == [second.id]
    assert first.id != second.id


def test_a_released_job_does_not_block_a_newer_unique_job(bench, unique):
    unique()
    bench.claim("gone")
    second = unique()
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, "gone", bench.clock.now())
    assert second.id in {job.id for job in bench.claim()}


def test_until_ended_a_running_job_takes_the_text(bench, unique):
    first = unique(until="ended")
    [job] = bench.claim()
    assert not unique(until="ended").created
    assert not unique().created, "the rule of the job that exists holds"
    assert bench.run(job) == "completed"
    assert unique(until="ended").id != first.id


def test_for_a_period_the_text_is_taken_whatever_becomes_of_the_job(bench, unique):
    first = unique(until=60)
    assert bench.run(bench.claim()[0]) == "completed"
    bench.clock.forward(59)
    assert unique(until=60) == type(first)(first.id, "shop.count", created=False)
    bench.clock.forward(1)
    second = unique(until=60)
    assert second.created
    bench.clock.forward(3600)
    assert unique().created, "its period is over although it waits"


def test_retention_keeps_a_job_whose_period_is_not_over(bench, unique):
    bench.runtime.policy = DeliverySettings(keep_completed=10)
    first = unique(until=3600)
    bench.run(bench.claim()[0])
    bench.clock.forward(60)
    retention.delete_expired(bench.runtime)
    assert not unique(until=3600).created
    bench.clock.forward(3600)
    retention.delete_expired(bench.runtime)
    assert bench.count("rolehost_jobs") == 0
    assert unique(until=3600).id != first.id


def test_an_existing_job_gets_the_arguments_of_the_next(bench, unique):
    first = unique(1)
    assert unique(2, conflict="replace").id == first.id
    assert arguments(bench, first.id) == b'{"n":2}'


def test_an_existing_job_is_moved_to_the_time_of_the_next(bench, unique):
    first = unique(1, delay=5)
    bench.clock.forward(4)
    assert unique(2, delay=5, conflict="move").id == first.id
    assert arguments(bench, first.id) == b'{"n":1}'
    bench.clock.forward(4)
    assert bench.claim() == []
    unique(conflict="move")
    assert [job.id for job in bench.claim()] == [first.id]


@pytest.mark.parametrize("conflict", ["replace", "move"])
def test_a_job_that_runs_stays_as_it_is(bench, unique, conflict):
    first = unique(1, until="ended")
    bench.claim()
    assert unique(2, until="ended", delay=9, conflict=conflict).id == first.id
    assert bench.job(first.id)["state"] == "claimed"
    assert arguments(bench, first.id) == b'{"n":1}'


@pytest.mark.parametrize("conflict", ["replace", "move"])
def test_a_job_of_another_actor_is_not_changed(bench, unique, conflict):
    first = unique(1)
    assert unique(2, each=other).id == first.id
    with pytest.raises(PayloadError, match=r"shop\.other.*job \d+ of actor shop\.count"):
        unique(2, each=other, conflict=conflict)


@pytest.mark.parametrize("conflict", ["keep", "replace", "move"])
@pytest.mark.parametrize("until", ["started", "ended", 60])
def test_of_several_enqueued_at_once_one_is_made(bench, unique, until, conflict):
    made = []

    def enqueue():
        made.extend(unique(until=until, conflict=conflict) for _ in range(5))

    threads = [threading.Thread(target=enqueue) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 15
    assert len({job.id for job in made}) == 1
    assert [job.created for job in made].count(True) == 1


@pytest.mark.parametrize("conflict", ["keep", "replace", "move"])
@pytest.mark.parametrize("delay", [None, 5])
def test_a_job_that_exists_waits_for_the_transaction_that_was_given_it(
    bench, unique, conflict, delay
):
    if bench.database.dialect == "sqlite":
        pytest.skip("one transaction writes at a time: a claim waits for it anyway")
    first = unique(1, delay=delay)
    bench.clock.forward(10)
    given, claimed = threading.Event(), threading.Event()

    def enqueue():
        with bench.unit_of_work() as work:
            rule = Unique("shop.count", conflict=conflict)
            assert work.enqueue(count, n=2, unique=rule).id == first.id
            given.set()
            assert claimed.wait(30)

    thread = threading.Thread(target=enqueue)
    thread.start()
    assert given.wait(30)
    # Neither claimed nor waited for, also not when its time has come: what the transaction
    # wrote is not committed yet, and the job would not see it.
    assert bench.claim() == []
    claimed.set()
    thread.join()
    assert [job.id for job in bench.claim()] == [first.id]


def test_nothing_is_left_of_a_conflict_that_was_rolled_back(bench, unique):
    first = unique(1)
    with pytest.raises(ZeroDivisionError), bench.unit_of_work() as work:
        work.enqueue(count, n=2, unique=Unique("shop.count", conflict="replace"))
        raise ZeroDivisionError
    assert arguments(bench, first.id) == b'{"n":1}'


def test_a_cancelled_job_frees_the_text_and_takes_it_again_when_it_is_free(bench, unique):
    first = unique()

    def retry():
        with bench.database.session(), bench.database.transaction() as tx:
            return administration.retry(tx, first.id, bench.clock.now())

    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, first.id, bench.clock.now())
    second = unique()
    assert second.created
    assert retry() is None
    bench.claim()
    assert retry() == "queue:default"
    assert unique().id == first.id


def test_a_dead_job_that_had_begun_is_replayed_beside_the_next(bench, unique):
    first = unique()
    [job] = bench.claim()
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET state = 'dead' WHERE id = ?", (job.id,))
    second = unique()
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.retry(tx, first.id, bench.clock.now()) == "queue:default"
    assert {each.id for each in bench.claim()} == {first.id, second.id}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", {}),
        (7, {}),
        ("a\0", {}),
        ("x" * 601, {}),
        ("a", {"until": "never"}),
        ("a", {"until": None}),
        ("a", {"until": 0}),
        ("a", {"until": True}),
        ("a", {"until": math.nan}),
        ("a", {"until": math.inf}),
        ("a", {"until": 1e12}),
        ("a", {"conflict": "drop"}),
        ("a", {"conflict": None}),
    ],
)
def test_a_rule_is_checked_where_it_is_made(text, rule):
    with pytest.raises((TypeError, ValueError), match=r"Unique|unique"):
        Unique(text, **rule)
