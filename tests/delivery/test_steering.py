"""Units of work start and cancel jobs, and name what enqueues them."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from rolehost.api import JobMiddleware, Limits, PayloadError, actor
from rolehost.delivery import sweep

ran = []


@actor(name="note")
def note(context, n: int = 0):
    ran.append(n)


@actor(name="limited", limits=Limits(concurrency=1))
def limited(context):
    ran.append("limited")


@pytest.fixture(autouse=True)
def runtime(bench):
    ran.clear()
    return bench.make_runtime(note, limited)


@pytest.mark.parametrize("each", [note, limited], ids=["unlimited", "limited"])
def test_a_job_that_waits_for_a_time_can_be_started(bench, each):
    with bench.unit_of_work() as work:
        job = work.enqueue(each, delay=3600)
    assert bench.claim() == []
    with bench.unit_of_work() as work:
        assert work.run_now(job.id) == 1
    assert [claimed.id for claimed in bench.claim()] == [job.id]
    assert "queue:default" in bench.woken


def test_a_started_job_keeps_its_expiry(bench):
    with bench.unit_of_work() as work:
        job = work.enqueue(note, delay=3600, expires_at=7200)
        work.run_now(job.id)
    bench.clock.forward(7200)
    assert sweep.end_expired(bench.runtime) == 1


def test_only_jobs_that_wait_for_a_time_are_started(bench):
    with bench.unit_of_work() as work:
        now, later = work.enqueue(note), work.enqueue(note, delay=60)
        assert work.run_now(now.id, later.id, 999_999) == 1
        assert work.run_now() == 0


def test_a_start_is_rolled_back_with_its_unit_of_work(bench):
    with bench.unit_of_work() as work:
        job = work.enqueue(note, delay=3600)
    with pytest.raises(ZeroDivisionError), bench.unit_of_work() as work:
        work.run_now(job.id)
        raise ZeroDivisionError
    assert bench.job(job.id)["state"] == "scheduled"


def test_waiting_jobs_are_cancelled_and_held_ones_are_asked_to_stop(bench):
    with bench.unit_of_work() as work:
        held = work.enqueue(note)
    bench.claim()
    with bench.unit_of_work() as work:
        waiting = work.enqueue(limited)
        assert work.cancel(held.id, waiting.id, 999_999) == 2
    assert bench.job(waiting.id)["state"] == "cancelled"
    assert bench.job(held.id)["state"] == "claimed"
    with bench.database.session():
        assert [number for number, _ in bench.runtime.ledger.cancelled_jobs("me")] == [held.id]


def test_a_cause_can_be_given_and_middleware_gets_it(bench):
    seen = []

    @contextmanager
    def around(execution):
        seen.append(execution.cause)
        yield

    bench.runtime.middleware = [JobMiddleware(name="see", around=around)]
    with bench.unit_of_work() as work:
        work.enqueue(note, cause="batch:7")
        work.enqueue_many(note, [{"n": 1}], cause="batch:8")
        work.enqueue(note)
    for job in bench.claim():
        bench.run(job)
    assert seen == ["batch:7", "batch:8", ""]


@pytest.mark.parametrize("cause", ["", 7, "x" * 601])
def test_a_cause_that_cannot_be_stored_is_refused(bench, cause):
    with (
        pytest.raises(PayloadError, match=r"enqueueing actor note: cause"),
        bench.unit_of_work() as w,
    ):
        w.enqueue(note, cause=cause)
