"""Middleware that writes in the transaction in which a job is completed."""

from __future__ import annotations

from rolehost.api import JobMiddleware, Retry, actor

from tests.delivery.things import Thing


def run(bench, before, body):
    """Run one job with this body inside the middleware; return its state."""
    each = actor(name="body")(body)
    bench.make_runtime(each).middleware = [JobMiddleware(name="before", before_completion=before)]
    with bench.unit_of_work() as work:
        work.enqueue(each)
    (job,) = bench.claim()
    return bench.run(job)


def write(bench, name):
    with bench.unit_of_work():
        Thing.create(id=name)


def test_what_it_writes_commits_with_a_job_that_writes_nothing(bench, things):
    def before(execution):
        write(bench, f"{execution.name} {execution.attempt}")

    assert run(bench, before, lambda context: None) == "completed"
    assert things() == ["body 1"]


def test_what_it_writes_commits_with_the_effects_of_the_job(bench, things):
    assert run(bench, lambda _: write(bench, "2"), lambda context: write(bench, "1")) == "completed"
    assert things() == ["1", "2"]


def test_if_it_raises_the_attempt_has_failed_and_nothing_is_written(bench, things):
    def before(execution):
        write(bench, "2")
        raise ValueError("no")

    assert run(bench, before, lambda context: write(bench, "1")) == "retrying"
    assert things() == []


def test_it_is_called_only_for_a_success(bench):
    called = []
    assert run(bench, called.append, lambda context: Retry("later", delay=5)) == "retrying"
    assert called == []
