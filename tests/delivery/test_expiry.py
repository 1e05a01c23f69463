"""Start times, and jobs that expire: no attempt starts after ``expires_at``."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rolehost.api import JobMiddleware, Limits, PayloadError, RetryPolicy, Unique, actor
from rolehost.delivery import administration, sweep

ran = []


@actor(name="report", retry=RetryPolicy(attempts=3, delays=(100,), jitter=0))
def report(context, n: int = 0):
    ran.append(n)
    if n < 0:
        raise ValueError("no")


@actor(name="grouped", grouped=True)
def grouped(context):
    ran.append("grouped")


@actor(name="slow", limits=Limits(rate=0.01, burst=1))
def slow(context):
    ran.append("slow")


@pytest.fixture(autouse=True)
def runtime(bench):
    ran.clear()
    return bench.make_runtime(report, grouped, slow)


def enqueue(bench, each=report, **options):
    with bench.unit_of_work() as work:
        return work.enqueue(each, **options)


def moment(bench, seconds):
    """Return the time after some seconds, in a time zone other than UTC."""
    zone = timezone(timedelta(hours=5, minutes=30))
    return datetime.fromtimestamp(bench.clock.now() / 1000 + seconds, zone)


def outcomes(bench):
    seen = []

    class Recorder:
        def job(self, actor, outcome, waited, ran):
            seen.append((actor, outcome))

    bench.recorder.add(Recorder())
    return seen


def test_a_job_runs_from_its_start_time_on(bench):
    job = enqueue(bench, at=moment(bench, 60))
    assert bench.job(job.id)["run_at"] == bench.clock.now() + 60_000
    bench.clock.forward(59.999)
    assert bench.claim() == []
    bench.clock.forward(0.001)
    assert [each.id for each in bench.claim()] == [job.id]


def test_a_start_time_in_the_past_means_now(bench):
    job = enqueue(bench, at=moment(bench, -3600))
    row = bench.job(job.id)
    assert (row["state"], row["run_at"]) == ("available", bench.clock.now())


def test_a_part_of_a_millisecond_is_rounded_up_so_that_no_job_starts_early(bench):
    job = enqueue(bench, at=moment(bench, 60) + timedelta(microseconds=1))
    assert bench.job(job.id)["run_at"] == bench.clock.now() + 60_001


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": datetime(2030, 1, 1)}, "at must have a time zone"),
        ({"at": 5}, "at must be a datetime, not int"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "delay and at exclude"),
        ({"at": datetime(9000, 1, 1, tzinfo=UTC)}, "at - now must be at most"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at must have a time zone"),
        ({"expires_at": timedelta(seconds=5)}, "expires_at must be a number of seconds"),
        ({"expires_at": -1}, "expires_at must be from 0"),
    ],
)
def test_times_that_do_not_fit_are_refused(bench, options, words):
    with pytest.raises(PayloadError, match=f"enqueueing actor report: {words}"):
        enqueue(bench, **options)
    assert bench.count("rolehost_jobs") == 0


@pytest.mark.parametrize("each", [report, grouped])
def test_an_attempt_that_would_start_after_the_time_is_cancelled_instead(bench, each):
    seen = outcomes(bench)
    job = enqueue(bench, each, expires_at=10)
    [claimed] = bench.claim()
    bench.clock.forward(10)
    assert bench.run(claimed) == "cancelled"
    row = bench.job(job.id)
    assert (row["attempt"], row["error"], ran) == (0, "expired", [])
    assert seen == [(each.name, "expired")]


def test_an_attempt_that_starts_in_time_runs(bench):
    enqueue(bench, n=1, expires_at=moment(bench, 10))
    bench.clock.forward(9.999)
    assert bench.run(bench.claim()[0]) == "completed"
    assert ran == [1]


def test_a_retry_after_the_time_does_not_run(bench, runtime):
    job = enqueue(bench, n=-1, expires_at=50)
    assert bench.run(bench.claim()[0]) == "retrying"
    bench.clock.forward(49.999)
    assert sweep.end_expired(runtime) == 0
    bench.clock.forward(0.001)
    assert sweep.end_expired(runtime) == 1
    assert bench.job(job.id)["state"] == "cancelled"
    assert ran == [-1]


def test_a_rate_does_not_hold_an_expired_job(bench, runtime):
    seen = outcomes(bench)
    enqueue(bench, slow)
    waits = enqueue(bench, slow, expires_at=5)
    assert bench.run(bench.claim()[0]) == "completed"
    assert bench.claim() == [], "the rate admits one job in 100 seconds"
    bench.clock.forward(5)
    assert sweep.end_expired(runtime) == 1
    assert bench.job(waits.id)["state"] == "cancelled"
    assert seen == [("slow", "completed"), ("slow", "expired")]


def test_an_expired_job_lets_the_next_one_of_its_key_run(bench, runtime):
    enqueue(bench, n=-1, key="k", expires_at=50)
    assert bench.run(bench.claim()[0]) == "retrying"
    second = enqueue(bench, n=2, key="k")
    assert bench.claim() == []
    bench.clock.forward(50)
    bench.woken.clear()
    sweep.end_expired(runtime)
    assert bench.woken == ["queue:default"]
    assert [job.id for job in bench.claim()] == [second.id]


def test_jobs_that_are_claimed_or_over_are_not_swept(bench, runtime):
    enqueue(bench, n=1, expires_at=5)
    claimed = bench.claim()
    bench.clock.forward(5)
    assert sweep.end_expired(runtime) == 0
    assert bench.run(claimed[0]) == "cancelled"
    assert sweep.end_expired(runtime) == 0


def test_many_expired_jobs_are_cancelled_in_parts(bench, runtime):
    with bench.unit_of_work() as work:
        work.enqueue_many(report, [{}] * 2001, expires_at=1)
    bench.clock.forward(1)
    assert sweep.end_expired(runtime) == 2001
    assert bench.claim() == []


def test_an_expired_job_frees_its_unique_text(bench, runtime):
    first = enqueue(bench, unique=Unique("daily", until="ended"), expires_at=5)
    bench.clock.forward(5)
    sweep.end_expired(runtime)
    second = enqueue(bench, unique=Unique("daily", until="ended"))
    assert second.created
    assert second.id != first.id


@pytest.mark.parametrize("conflict", ["replace", "move"])
def test_a_call_that_changes_the_waiting_job_also_sets_when_it_expires(bench, runtime, conflict):
    enqueue(bench, unique="daily", expires_at=5)
    enqueue(bench, n=3, unique=Unique("daily", conflict=conflict))
    bench.clock.forward(5)
    assert sweep.end_expired(runtime) == 0


def test_an_operator_may_run_an_expired_job_all_the_same(bench, runtime):
    job = enqueue(bench, n=7, expires_at=5)
    bench.clock.forward(5)
    sweep.end_expired(runtime)
    with bench.unit_of_work() as work:
        assert administration.retry(work.transaction, job.id, bench.clock.now())
    assert bench.run(bench.claim()[0]) == "completed"
    assert ran == [7]


def test_middleware_sees_an_expired_job_without_an_exception(bench, runtime):
    seen = []

    @contextmanager
    def around(execution):
        yield
        seen.append((execution.outcome, execution.exception))

    runtime.middleware = (JobMiddleware(name="see", around=around),)
    enqueue(bench, expires_at=0)
    assert bench.run(bench.claim()[0]) == "cancelled"
    assert seen == [("expired", None)]
