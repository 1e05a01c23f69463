"""Every failed attempt and every dead letter is one log line."""

from __future__ import annotations

import pytest
from rolehost.api import Dead, Retry, RetryPolicy, actor
from structlog.testing import capture_logs

TWICE = RetryPolicy(attempts=2, base=10, jitter=0)


def enqueue(bench, of, **arguments):
    with bench.database.session(), bench.unit_of_work() as work:
        return work.enqueue(of, **arguments)


def attempted(bench):
    with capture_logs() as lines:
        bench.run(bench.claim()[0])
    (line,) = [each for each in lines if each["log_level"] in ("warning", "error")]
    return line


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_logged_failure_names_the_actor_attempt_error_and_next_attempt(bench, how):
    @actor(retry=TWICE)
    def fails(job, secret: str):
        if how == "returns":
            return Retry("no\nroute")
        raise ValueError("no\nroute")

    bench.make_runtime(fails)
    job = enqueue(bench, fails, secret="an argument of hunter2")
    error = "no route" if how == "returns" else "ValueError: no route"
    line = attempted(bench)
    assert (line["event"], line["log_level"]) == ("job failed", "warning")
    assert (line["job_id"], line["actor"], line["attempt"]) == (job.id, "fails", 1)
    assert (line["retry_in"], line["error"]) == (10.0, error)
    assert ("exc_info" in line) is (how == "raises")
    assert "hunter2" not in str({key: text for key, text in line.items() if key != "exc_info"})
    bench.clock.forward(10)
    line = attempted(bench)
    assert (line["event"], line["log_level"]) == ("job dead", "error")
    assert (line["attempt"], line["error"]) == (2, error)
    assert "retry_in" not in line


@pytest.mark.parametrize("cause", [None, ValueError("no such host")])
def test_a_raised_outcome_is_logged_with_the_traceback_of_its_cause(bench, cause):
    @actor()
    def fails(job):
        raise Retry("later", 5) from cause

    bench.make_runtime(fails)
    enqueue(bench, fails)
    line = attempted(bench)
    assert (line["event"], line["error"], line["retry_in"]) == ("job failed", "later", 5.0)
    assert line.get("exc_info") is cause


@pytest.mark.parametrize("raised", [True, False])
def test_dead_is_logged_as_dead(bench, raised):
    @actor()
    def gives_up(job):
        if raised:
            raise Dead("gone for good")
        return Dead("gone for good")

    bench.make_runtime(gives_up)
    enqueue(bench, gives_up)
    line = attempted(bench)
    assert (line["event"], line["error"], line["attempt"]) == ("job dead", "gone for good", 1)


def test_an_outcome_that_is_logged_with_its_own_effects_is_logged_once(bench):
    @actor(retry=TWICE)
    def writes(job):
        with job.services.unit_of_work():
            pass
        return Retry("later", 5)

    bench.make_runtime(writes)
    enqueue(bench, writes)
    assert attempted(bench)["retry_in"] == 5.0


def test_a_job_that_killed_its_processes_is_logged_when_it_is_given_up(bench):
    @actor(max_crashes=1)
    def kills(job): ...

    bench.make_runtime(kills)
    enqueue(bench, kills)
    for owner in ("first", "second"):  # the first death is not charged
        (job,) = bench.claim(owner)
        with bench.database.session(), bench.database.transaction() as tx:
            bench.runtime.ledger.start(tx, job, bench.clock.now())
            bench.runtime.ledger.release(tx, owner, bench.clock.now())
    line = attempted(bench)
    assert line["event"] == "job dead"
    assert "its process died 1 times" in line["error"]
