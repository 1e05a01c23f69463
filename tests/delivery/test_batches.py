"""How the worker's consumer claims ahead of its threads."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager

import pytest
from rolehost.api import Limits, StorageUnavailable, actor
from rolehost.delivery import administration
from rolehost.delivery.jobs import Finish
from rolehost.delivery.runner import give_back
from rolehost.delivery.scopes import unit_of_work
from rolehost.roles.background import PollingListener
from rolehost.roles.beats import Beats
from rolehost.roles.worker.ledger import FLUSH_INTERVAL, LedgerConsumer

#: The name for the wake-up of the jobs of these tests.
WAKE = "queue:default"


@actor()
def quick(context, number: int) -> None:
    """Do nothing."""


@actor()
def fast(context, number: int) -> None:
    """Do nothing, too."""


@actor(partition="number", partition_limits=Limits(concurrency=1))
def limited(context, number: int) -> None:
    """Do nothing, one at a time for each number."""


THREADS, MOST = 2, 20


@pytest.fixture
def consumer(bench):
    """A consumer that knows its jobs to be quick, so that it claims as many as it may."""
    bench.make_runtime(quick)
    consumer = consumer_of(bench, quick)
    enqueue(bench, quick, range(300))
    while len(claimed(bench)) < MOST:
        finish_one(consumer)
    yield consumer
    consumer.close()


def enqueue(bench, actor, numbers) -> None:
    with unit_of_work(bench.runtime) as work:
        work.enqueue_many(actor, [{"number": number} for number in numbers])


def consumer_of(bench, actor) -> LedgerConsumer:
    return LedgerConsumer(
        bench.runtime,
        queue="default",
        actors=[actor.name],
        owner="me",
        threads=THREADS,
        most=MOST,
        listener=PollingListener(),
        beats=Beats(),
    )


def claimed(bench) -> list[int]:
    with bench.database.session():
        rows = bench.database.read("SELECT id FROM rolehost_jobs WHERE state = 'claimed'")
    return [row[0] for row in rows]


def finish_one(consumer) -> None:
    run = consumer.take()
    if run is None:
        next(consumer)
        return
    complete(consumer, run)


def complete(consumer, run) -> None:
    consumer.finish(run, [(Finish("completed", job.run_at, True, None), 0.0) for job in run])


def test_enough_that_is_claimed_and_not_started_leaves_the_database_alone(
    bench, consumer, monkeypatch
):
    before = claimed(bench)
    monkeypatch.setattr(bench.database, "transaction", pytest.fail)
    for _ in range(4):
        finish_one(consumer)
    consumer._write_at = float("inf")  # as if it had just written
    assert not consumer._cycle()
    assert claimed(bench) == before


def test_when_half_of_a_batch_is_started_completions_are_written_and_more_jobs_are_claimed(
    bench, consumer
):
    consumer._write_at = float("inf")
    for _ in range(MOST - (MOST - THREADS) // 2):
        finish_one(consumer)
    assert consumer._cycle()
    assert len(claimed(bench)) == MOST


def test_completions_are_written_in_time_if_no_job_can_be_claimed(bench, consumer):
    finish_one(consumer)
    consumer._write_at = 0.0
    assert not consumer._cycle()
    assert len(claimed(bench)) == MOST - 1


def test_jobs_that_ended_before_the_wait_are_written_without_it(consumer, monkeypatch):
    while (run := consumer.take()) is not None:
        complete(consumer, run)
    with monkeypatch.context() as patched:
        patched.setattr(consumer._listener, "wait", pytest.fail)
        consumer._wait()
    assert consumer._cycle()


def test_a_consumer_without_room_waits_although_jobs_have_ended(consumer, monkeypatch):
    waited = []
    monkeypatch.setattr(consumer._listener, "wait", waited.append)
    finish_one(consumer)
    consumer._wait()
    assert waited == [FLUSH_INTERVAL]


def test_a_thread_without_work_interrupts_the_wait(consumer, monkeypatch):
    runs = []
    while (run := consumer.take()) is not None:
        runs.append(run)
    interrupted = threading.Event()
    monkeypatch.setattr(consumer._listener, "interrupt", interrupted.set)
    consumer._waiting = True
    complete(consumer, runs.pop())
    assert interrupted.is_set()
    for run in runs:
        complete(consumer, run)


def test_jobs_of_a_claim_whose_answer_was_lost_are_released_and_run(bench, consumer, monkeypatch):
    transaction = bench.database.transaction

    @contextmanager
    def answer_lost():
        with transaction() as tx:
            yield tx
        raise StorageUnavailable("the connection was lost")

    started = consumer.take()
    before = set(claimed(bench))
    with monkeypatch.context() as patched:
        patched.setattr(bench.database, "transaction", answer_lost)
        for _ in range(MOST - THREADS):
            finish_one(consumer)
        consumer._write_at = 0.0
        with pytest.raises(StorageUnavailable):
            consumer._cycle()
    unknown = set(claimed(bench)) - before
    assert unknown  # held by this process, which does not know it

    assert consumer._cycle()
    assert unknown <= {job.id for run in consumer._ready for job in run}
    assert started[0].id in claimed(bench)  # a running job is not changed
    complete(consumer, started)


def test_a_job_that_an_idle_process_claims_has_time_to_find_a_thread(bench, consumer):
    while (run := consumer.take()) is not None:
        complete(consumer, run)
    bench.clock.forward(60)
    for _ in range(2):
        consumer._write_at = 0.0
        consumer._cycle()
        assert consumer._ready


def test_a_claim_whose_end_a_failover_has_undone_runs_again(bench, consumer):
    run = consumer.take()
    complete(consumer, run)
    consumer._write_at = 0.0
    consumer._cycle()
    with bench.database.transaction() as tx:  # the standby has not seen the end
        tx.execute(
            "UPDATE rolehost_jobs SET state = 'claimed', owner = 'me' WHERE id = ?", (run[0].id,)
        )
        tx.execute("UPDATE rolehost_jobs SET token = 7 WHERE id = ?", (run[0].id,))
    bench.clock.forward(bench.runtime.policy.lease)
    consumer._write_at = 0.0
    consumer._cycle()
    assert run[0].id in {job.id for run in consumer._ready for job in run}


def test_a_cancelled_job_that_was_claimed_and_has_not_begun_is_not_run(bench, consumer):
    bench.make_runtime(quick)
    number = next(iter(consumer._ready))[0].id
    with bench.database.transaction() as tx:
        assert administration.cancel(tx, number, bench.clock.now()) == ("asked", WAKE)
    consumer.cancelled._read_at = 0.0  # as if the last look was a while ago
    [job] = consumer.take()
    job = consumer.cancelled.mark(job)
    assert (job.id, job.cancel) == (number, 1)
    assert bench.run(job) == "cancelled"

    # A second claim of the same job does not inherit the state of the first claim.
    with bench.database.transaction() as tx:
        administration.retry(tx, number, bench.clock.now())
    [again] = [each for each in bench.claim(limit=1000) if each.id == number]
    consumer.cancelled._read_at = float("inf")
    assert consumer.cancelled.mark(again).cancel == 0


def offered(consumer) -> int:
    """Return how many worker slots the consumer gives if all threads are free."""
    with consumer._lock:
        consumer._slots_used, consumer._slots_free = 0, 0
        consumer._offer_slots()
        return consumer._slots_free


def test_quick_jobs_share_one_thread(consumer):
    consumer._pace.mean = 20e-6
    assert offered(consumer) == 1


def test_quick_jobs_hand_over_the_interpreter_lock_to_claims_of_sqlite(bench, consumer):
    default = sys.getswitchinterval()
    consumer._pace.mean = 20e-6
    offered(consumer)
    assert (sys.getswitchinterval() < default) == (bench.database.dialect == "sqlite")
    consumer._pace.mean = 0.01
    offered(consumer)
    assert sys.getswitchinterval() == default


def test_jobs_that_wait_for_something_use_all_threads(consumer):
    consumer._pace.mean = 0.01
    assert offered(consumer) == THREADS


def test_quick_jobs_that_wait_behind_a_slow_one_get_another_thread(bench, consumer):
    consumer._pace.mean = 20e-6
    consumer._write_at = float("inf")
    assert offered(consumer) == 1
    assert next(consumer) is not None
    assert consumer.take()  # and it does not return
    bench.clock.forward(0.006)
    consumer._wait = pytest.fail  # it does not wait before it gives the slot
    assert next(consumer) is None
    assert next(consumer) is not None


@pytest.fixture
def wakes(bench, monkeypatch) -> list[list[str]]:
    """A runtime with a limited actor, and the wake-ups that it sends from now on."""
    runtime = bench.make_runtime(limited)
    enqueue(bench, limited, [1])
    sent: list[list[str]] = []
    monkeypatch.setattr(runtime, "wake", sent.append)
    return sent


def run_one(consumer, state: str = "completed", later: int = 0) -> None:
    """Let the consumer claim a job, finish it and write its end."""
    consumer._cycle()
    run = consumer.take()
    end = Finish(state, run[0].run_at + later, True, None)
    consumer.finish(run, [(end, 0.0)])
    consumer._write_at = 0.0
    consumer._cycle()


def test_a_process_that_takes_all_waiting_jobs_wakes_no_other(bench, wakes):
    consumer = consumer_of(bench, limited)
    run_one(consumer)
    assert wakes == []


def test_a_process_without_room_wakes_others_for_the_place_that_it_frees(bench, wakes):
    consumer = consumer_of(bench, limited)
    consumer._cycle()
    enqueue(bench, limited, [1, 2, 3, 4])
    consumer._pace.taken_at = bench.clock.now() - 1000  # all threads are slow
    consumer._pace.running = THREADS
    wakes.clear()
    run_one(consumer)
    assert wakes == [["queue:default"]]


@pytest.mark.parametrize(("later", "woken"), [(0, True), (1000, True), (60_000, False)])
def test_others_are_woken_for_a_retry_that_they_would_find_late(bench, wakes, later, woken):
    consumer = consumer_of(bench, limited)
    run_one(consumer, "retrying", later)
    assert bool(wakes) == woken


@actor(partition="number", partition_limits=Limits(concurrency=2))
def paired(context, number: int) -> None:
    """Do nothing, twice at a time for each number."""


@pytest.fixture
def limited_consumer(bench):
    """A consumer that has claimed eight jobs, as many as the limits allow."""
    bench.make_runtime(paired)
    consumer = consumer_of(bench, paired)
    enqueue(bench, paired, [*range(4)] * 10)
    consumer._pace.mean, consumer._pace.taken_at = 1e-6, bench.clock.now()
    assert consumer._cycle()
    assert len(claimed(bench)) == 8
    consumer._write_at = float("inf")
    yield consumer
    consumer.close()


def test_what_limits_leave_for_a_claim_runs_before_the_next_claim(bench, limited_consumer):
    for left in (7, 6, 5, 4, 3):
        finish_one(limited_consumer)
        assert not limited_consumer._cycle()
        assert len(limited_consumer._ready) == left
    finish_one(limited_consumer)
    assert limited_consumer._cycle()
    assert len(claimed(bench)) == 8


def test_ends_of_limited_jobs_are_written_in_time_and_their_places_claimed_again(
    bench, limited_consumer
):
    finish_one(limited_consumer)
    limited_consumer._write_at = 0.0
    assert limited_consumer._cycle()
    assert len(limited_consumer._ready) == 8


def test_a_wake_up_is_followed_by_a_claim_whatever_waits_for_a_thread(bench, limited_consumer):
    enqueue(bench, paired, [4])
    limited_consumer._listener.wait = lambda seconds: frozenset({"queue:default"})
    limited_consumer._wait()
    assert limited_consumer._cycle()
    assert len(claimed(bench)) == 9


def woken(consumer) -> None:
    consumer._listener.wait = lambda seconds: frozenset({"queue:default"})
    consumer._wait()


def test_a_process_without_a_free_thread_leaves_new_jobs_to_others_for_a_moment(bench, wakes):
    consumer = consumer_of(bench, limited)
    consumer._pace.running, consumer._pace.taken_at = THREADS, bench.clock.now()
    woken(consumer)
    assert not consumer._cycle()
    woken(consumer)
    consumer._yields_until = 0.0  # the moment has passed, and a second wake-up did not extend it
    assert consumer._cycle()


def test_a_process_with_a_free_thread_claims_at_once(bench, wakes):
    consumer = consumer_of(bench, limited)
    consumer._pace.running = THREADS - 1
    woken(consumer)
    assert consumer._cycle()


def test_quick_jobs_of_a_claim_run_before_those_of_a_slow_partition(bench, wakes):
    enqueue(bench, limited, [2, 3, 4])
    consumer = consumer_of(bench, limited)
    consumer._pace.taken_at, consumer._pace.mean = bench.clock.now(), 20e-6
    [first] = consumer._pace.slow.last(bench.claim_runs(limit=1))
    consumer._pace.slow.measure(first[0], 1.0)
    give_back(bench.runtime, [(first[0], Finish("available", first[0].run_at, False, None))])
    consumer._cycle()
    assert len(consumer._ready) == 4
    assert [*consumer._ready][-1][0].partition == first[0].partition
    consumer._pace.slow.measure(first[0], 0.001)
    assert consumer._pace.slow.last([*consumer._ready]) == [*consumer._ready]


def test_threads_with_slow_jobs_do_not_count_as_those_for_quick_jobs(bench, wakes):
    consumer = consumer_of(bench, limited)
    consumer._cycle()
    run = consumer.take()
    consumer.finish(run, [(Finish("completed", run[0].run_at, True, None), 1.0)])
    enqueue(bench, limited, [1])
    consumer._cycle()
    run = consumer.take()
    consumer._pace.mean = 20e-6
    assert consumer._pace.useful_threads() == 2
    complete(consumer, run)
    assert consumer._pace.useful_threads() == 1


def test_consumers_of_one_queue_leave_each_others_claims_alone(bench):
    # As in a process whose queue has synchronous and asynchronous actors.
    bench.make_runtime(quick, fast)
    first, second = consumer_of(bench, quick), consumer_of(bench, fast)
    enqueue(bench, quick, [1])
    enqueue(bench, fast, [2])
    next(first)
    next(second)
    assert len(claimed(bench)) == 2
    bench.clock.forward(bench.runtime.policy.lease + 1)
    for consumer in (first, second):
        enqueue(bench, quick, [3])  # something to claim, so that the claims are compared
        enqueue(bench, fast, [4])
        next(consumer)
        next(consumer)
    held = [first.take(), second.take()]
    assert [run[0].id for run in held] == [1, 2]
    with bench.database.session():
        rows = bench.database.read("SELECT id, token FROM rolehost_jobs WHERE id < 3 ORDER BY id")
    assert rows == [(run[0].id, run[0].token) for run in held]
    assert {1, 2} <= set(claimed(bench))
