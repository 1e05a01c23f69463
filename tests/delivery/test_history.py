"""The history of a job: its failed attempts, or all attempts if its actor asks for them."""

from __future__ import annotations

from contextlib import contextmanager

import msgspec
import pytest
from rolehost import joblog, redaction
from rolehost.api import Dead, JobMiddleware, Retry, RetryPolicy, Snooze, actor
from rolehost.delivery import administration, history, retention, sweep
from rolehost.delivery.jobs import Finish

twice = RetryPolicy(attempts=2, delays=(10,), jitter=0)


class Broken(Exception):
    pass


@actor(name="fails", retry=twice)
def fails(context, text: str = "no"):
    raise Broken(text)


@actor(name="answers", history=True)
def answers(context, outcome: str = ""):
    return {"": None, "retry": Retry("later"), "dead": Dead("never"), "snooze": Snooze(1)}[outcome]


@actor(name="together", grouped=True, retry=twice)
def together(context, fail: bool = False):
    with context.services.unit_of_work():
        if fail:
            raise Broken("alone")


@pytest.fixture(autouse=True)
def runtime(bench):
    return bench.make_runtime(fails, answers, together)


def enqueue(bench, each, **arguments):
    with bench.unit_of_work() as work:
        return work.enqueue(each, **arguments).id


def attempts(bench, job):
    with bench.database.session():
        return history.of_job(bench.database, job)


def run_all(bench):
    for job in bench.claim():
        bench.run(job)


def test_each_failed_attempt_is_kept_with_process_and_traceback(bench):
    job = enqueue(bench, fails)
    began = bench.clock.now()
    run_all(bench)
    bench.clock.forward(10)
    run_all(bench)
    first, second = attempts(bench, job)
    assert (first["attempt"], first["outcome"], first["process"]) == (1, "retrying", "me")
    assert (second["attempt"], second["outcome"]) == (2, "dead")
    assert (first["started_at"], first["ended_at"]) == (began, began)
    assert first["error"] == "Broken: no"
    assert "in fails" in first["traceback"]
    assert first["traceback"].endswith("Broken: no")


def test_a_completed_attempt_is_kept_only_if_the_actor_asks(bench):
    kept, other = enqueue(bench, answers), enqueue(bench, together)
    run_all(bench)
    (attempt,) = attempts(bench, kept)
    assert (attempt["outcome"], attempt["error"], attempt["traceback"]) == ("completed", None, None)
    assert attempts(bench, other) == []


@pytest.mark.parametrize(
    ("outcome", "kept"), [("retry", "retrying"), ("dead", "dead"), ("snooze", "snoozed")]
)
def test_a_returned_outcome_is_kept_without_traceback(bench, outcome, kept):
    job = enqueue(bench, answers, outcome=outcome)
    run_all(bench)
    (attempt,) = attempts(bench, job)
    assert (attempt["outcome"], attempt["traceback"]) == (kept, None)


def test_attempts_count_from_one_again_after_a_retry_by_hand(bench):
    job = enqueue(bench, answers, outcome="dead")
    run_all(bench)
    with bench.unit_of_work() as work:
        administration.retry(work.transaction, job, bench.clock.now())
    run_all(bench)
    assert [each["attempt"] for each in attempts(bench, job)] == [1, 1]


def test_the_attempt_of_a_lost_claim_is_not_kept(bench):
    job = enqueue(bench, fails)
    (claimed,) = bench.claim()
    lost = msgspec.structs.replace(claimed, token=claimed.token + 1)
    bench.run(lost)
    assert attempts(bench, job) == []


def test_a_process_that_dies_in_a_recorded_start_leaves_an_attempt(bench):
    job = enqueue(bench, fails)
    (claimed,) = bench.claim(owner="gone")
    with bench.unit_of_work() as work:
        bench.runtime.ledger.start(work.transaction, claimed, bench.clock.now())
    sweep.release_dead(bench.runtime)
    (attempt,) = attempts(bench, job)
    assert (attempt["outcome"], attempt["process"]) == ("died", "gone")
    assert attempt["error"] == history.DIED


def test_ends_that_are_written_together_keep_the_attempts_that_failed(bench):
    jobs = [enqueue(bench, fails) for _ in range(3)]
    claimed = bench.claim()
    now = bench.clock.now()
    failed = history.Attempted("retrying", now, now, "shop 1.0", "no", None, "a line")
    ends = [
        (claimed[0], Finish("retrying", now, True, "no", attempted=failed)),
        (claimed[1], Finish("completed", now, True, None)),
        (claimed[2], Finish("dead", now, True, "no", attempted=failed._replace(outcome="dead"))),
    ]
    with bench.unit_of_work() as work:
        bench.runtime.ledger.finish_many(work.transaction, ends, now)
    assert [len(attempts(bench, job)) for job in jobs] == [1, 0, 1]
    assert attempts(bench, jobs[0])[0]["version"] == "shop 1.0"


def test_secrets_are_masked_and_texts_bounded(bench):
    redaction.hide("test", ["correct-horse-battery"])
    try:
        job = enqueue(bench, fails, text="correct-horse-battery" + "x" * 100_000)
        run_all(bench)
    finally:
        redaction.hide("test", [])
    (attempt,) = attempts(bench, job)
    assert "correct-horse" not in attempt["traceback"] + attempt["error"]
    assert len(attempt["traceback"]) < 33_000


def test_attempts_are_kept_as_long_as_dead_letters(bench):
    job = enqueue(bench, fails)
    run_all(bench)
    bench.clock.forward(bench.runtime.policy.keep_dead - 1)
    retention.delete_expired(bench.runtime)
    assert len(attempts(bench, job)) == 1
    bench.clock.forward(2)
    retention.delete_expired(bench.runtime)
    assert attempts(bench, job) == []


def test_log_lines_are_bounded_in_number_and_length():
    token = joblog.kept.set(joblog.new())
    try:
        for number in range(500):
            joblog.keep(f"{number} " + "x" * 1000)
        lines = joblog.kept.get()
    finally:
        joblog.kept.reset(token)
    assert len(lines) == joblog.MOST_LINES
    assert lines[-1].startswith("499 ")
    assert max(map(len, lines)) == joblog.MOST_CHARACTERS


def test_a_secret_that_is_cut_is_masked_too():
    redaction.hide("test", ["correct-horse-battery"])
    token = joblog.kept.set(joblog.new())
    try:
        joblog.keep("x" * (joblog.MOST_CHARACTERS - 10) + "correct-horse-battery")
        (line,) = joblog.kept.get()
    finally:
        joblog.kept.reset(token)
        redaction.hide("test", [])
    assert "correct" not in line


def test_a_failure_of_middleware_keeps_no_lines_of_an_earlier_attempt(bench, runtime):
    @contextmanager
    def around(execution):
        if execution.id == str(second):
            raise Broken("middleware")
        joblog.keep(f"of job {execution.id}")
        yield

    runtime.middleware = [JobMiddleware(name="m", around=around)]
    first, second = enqueue(bench, fails), enqueue(bench, fails)
    for job in bench.claim():
        bench.run(job)
    assert attempts(bench, first)[0]["log"] == f"of job {first}"
    assert attempts(bench, second)[0]["log"] is None
