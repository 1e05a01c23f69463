"""The next jobs of a key are claimed while a thread runs those before them."""

from __future__ import annotations

import pytest
from rolehost.api import actor
from rolehost.delivery import administration
from rolehost.delivery.jobs import Finish
from rolehost.delivery.runner import run_in_order
from rolehost.delivery.runs import ends_before
from rolehost.roles.background import PollingListener
from rolehost.roles.beats import Beats
from rolehost.roles.worker.ledger import LedgerConsumer

#: Jobs of a run.
LENGTH = 4


@actor()
def quick(context) -> None:
    """Do nothing."""


@pytest.fixture
def ids(bench) -> list[int]:
    """The ids of the jobs of a key, in order."""
    bench.make_runtime(quick)
    with bench.unit_of_work() as work:
        return [work.enqueue(quick, key="k").id for _ in range(3 * LENGTH)]


@pytest.fixture
def consumer(bench, ids):
    consumer = LedgerConsumer(
        bench.runtime, queue="default", actors=["quick"], owner="me", threads=2, most=20,
        listener=PollingListener(), beats=Beats(),
    )  # fmt: skip
    consumer._pace.longest_run = lambda: LENGTH
    yield consumer
    consumer.close()


@pytest.fixture
def run(bench, ids, consumer):
    """The first run of the key; the next one is claimed."""
    cycle(consumer)
    run = consumer.take()
    cycle(consumer)
    assert claimed(bench) == ids[: 2 * LENGTH]
    return run


def cycle(consumer) -> None:
    consumer._write_at = 0.0
    consumer._cycle()


def claimed(bench) -> list[int]:
    return ids_of(bench, "claimed")


def ids_of(bench, state: str) -> list[int]:
    with bench.database.session():
        sql = "SELECT id FROM rolehost_jobs WHERE state = ? ORDER BY id"
        return [row[0] for row in bench.database.read(sql, (state,))]


def finish(consumer, run, *last: str, count: int = LENGTH) -> None:
    """End the first jobs of a run; all are completed, except for those with another end."""
    states = ["completed"] * (count - len(last)) + list(last)
    ends = [Finish(state, 0, True, None) for state in states]
    consumer.finish(run, [(end, 0.0) for end in ends])


def numbers(run) -> list[int]:
    return [job.id for job in run]


def test_the_next_run_of_a_key_starts_when_the_one_before_has_ended(consumer, ids, run):
    assert consumer.take() is None
    finish(consumer, run)
    assert numbers(consumer.take()) == ids[LENGTH : 2 * LENGTH]


def test_ends_are_written_and_jobs_claimed_while_the_next_run_runs(bench, consumer, ids, run):
    finish(consumer, run)
    second = consumer.take()
    cycle(consumer)
    assert ids_of(bench, "completed") == ids[:LENGTH]
    assert consumer.take() is None
    finish(consumer, second)
    assert numbers(consumer.take()) == ids[2 * LENGTH :]


def test_a_run_that_ended_during_the_claim_of_the_next_one_lets_it_start(bench, consumer, ids):
    cycle(consumer)
    run = consumer.take()
    claim = consumer._claims.claim

    def ending(*args):
        found = claim(*args)
        finish(consumer, run)
        return found

    consumer._claims.claim = ending
    cycle(consumer)
    assert numbers(consumer.take()) == ids[LENGTH : 2 * LENGTH]


@pytest.mark.parametrize("last", ["retrying", "available", "scheduled"])
def test_if_a_job_of_a_key_is_not_finished_the_next_run_is_handed_back(
    bench, consumer, ids, run, last
):
    finish(consumer, run, last, count=2)
    assert consumer.take() is None
    consumer._stopping.set()
    cycle(consumer)
    assert claimed(bench) == []
    assert ids_of(bench, "completed") == ids[:1]
    assert set(ids[2:]) <= set(ids_of(bench, "available"))


def test_a_stopping_process_hands_back_the_next_run(bench, consumer, ids, run):
    consumer.stop_taking()
    finish(consumer, run, count=1)
    consumer.close()
    assert ids_of(bench, "available") == ids[1:]


def test_the_runs_of_a_key_that_no_thread_takes_are_handed_back(bench, consumer, ids):
    cycle(consumer)
    cycle(consumer)
    assert claimed(bench) == ids[: 2 * LENGTH]
    consumer.close()
    assert ids_of(bench, "available") == ids


def test_an_older_job_that_is_replayed_is_the_first_of_the_next_run(bench, consumer, ids):
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, ids[0], bench.clock.now())
    cycle(consumer)
    run = consumer.take()
    with bench.database.session(), bench.database.transaction() as tx:
        administration.retry(tx, ids[0], bench.clock.now())
    cycle(consumer)
    finish(consumer, run)
    assert numbers(consumer.take())[0] == ids[0]


def test_a_process_whose_jobs_were_given_to_another_claims_no_more_of_the_key(bench, consumer, ids):
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, ids[0], bench.clock.now())
    cycle(consumer)
    consumer.take()
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, "me", bench.clock.now())
    [other] = bench.claim_runs("other")
    with bench.database.session(), bench.database.transaction() as tx:
        administration.retry(tx, ids[0], bench.clock.now())
    cycle(consumer)
    assert claimed(bench) == numbers(other)


def test_the_effects_of_a_run_are_not_stored_before_the_ends_of_the_run_before(
    bench, consumer, ids, run
):
    finish(consumer, run)
    second = consumer.take()

    def attempt(job, earlier):
        with bench.database.session(), bench.database.transaction() as tx:
            bench.runtime.ledger.finish_many(tx, earlier, bench.clock.now())
        return Finish("completed", 0, True, None, stored=True), 0.0

    run_in_order(second[:1], attempt, [], ends_before(second))
    assert ids_of(bench, "completed") == ids[:LENGTH]


def test_the_jobs_of_all_claimed_runs_count_until_they_end(bench, consumer, ids, run):
    assert counts(bench) == [(2 * LENGTH, 0)]
    for _ in range(3):
        finish(consumer, run)
        cycle(consumer)
        run = consumer.take()
    assert run is None
    assert counts(bench) == [(0, 0)]


def counts(bench) -> list[tuple[int, int]]:
    with bench.database.session():
        return bench.database.read("SELECT held, open FROM rolehost_partitions")
