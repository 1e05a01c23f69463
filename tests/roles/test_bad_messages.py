"""One bad job or message fails alone, in a worker with its threads and consumers."""

from __future__ import annotations

import time

import dramatiq
import pytest
from rolehost.api import Dead, PayloadError, Retry, RetryPolicy, actor
from rolehost.delivery.jobs import Finish
from rolehost.delivery.runner import Runner
from rolehost.roles.worker.role import WorkerRole

from tests.delivery.odd_errors import ODD

ONCE = RetryPolicy(attempts=1)


def eventually(look, wanted, seconds=20.0):
    """Poll for a state of the tables, because no wake-up comes from another process."""
    until = time.monotonic() + seconds
    while (found := look()) != wanted and time.monotonic() < until:
        time.sleep(0.02)
    assert found == wanted


def test_any_exception_of_an_ephemeral_actor_is_a_dead_message_and_others_run(host, collected):
    @actor(name="test.raises", durable=False, retry=ONCE)
    def raises(services, kind: str):
        if kind in ODD:
            raise ODD[kind]()
        collected.add(kind)

    here = host([raises])
    here.start(WorkerRole, "worker")
    for kind in (*ODD, "innocent", "innocent too"):
        here.services.send(raises, kind=kind)
    assert sorted(collected.wait(2)) == ["innocent", "innocent too"]
    queue = here.services.queue
    eventually(lambda: len(queue.dead_messages(100)), len(ODD))
    for letter in queue.dead_messages(100):
        assert letter.reason
        assert len(letter.data) < 100_000


@pytest.mark.parametrize("delay", ["soon", 1.5, -1, True])
def test_a_retry_that_dramatiq_cannot_make_loses_no_message(host, delay):
    @actor(name="test.again", durable=False, retry=ONCE)
    def again(services):
        raise dramatiq.errors.Retry("later", delay=delay)

    here = host([again])
    here.start(WorkerRole, "worker")
    here.services.send(again)
    eventually(lambda: len(here.services.queue.dead_messages(100)), 1)


@pytest.mark.parametrize("outcome", [Retry("later"), Dead("gone")])
def test_an_outcome_of_an_ephemeral_actor_is_an_error_and_not_lost(host, outcome):
    @actor(name="test.answers", durable=False, retry=ONCE)
    def answers(services):
        return outcome

    here = host([answers])
    here.start(WorkerRole, "worker")
    here.services.send(answers)
    eventually(lambda: len(here.services.queue.dead_messages(100)), 1)
    (letter,) = here.services.queue.dead_messages(1)
    assert "outcomes are for durable actors" in letter.reason


@pytest.mark.parametrize("delay", ["5", float("nan"), 1e17, True])
def test_a_message_whose_delay_cannot_be_stored_is_refused(host, delay):
    @actor(name="test.later", durable=False)
    def later(services, n: int = 0):
        pass

    here = host([later])
    with pytest.raises(PayloadError, match=r"test\.later.*delay"):
        here.services.send(later, delay=delay)
    with pytest.raises(PayloadError, match=r"argument n of actor test\.later"):
        here.services.send(later, n="1")


def test_a_worker_goes_on_when_the_database_refuses_the_end_of_a_job(host, collected, monkeypatch):
    @actor(name="test.work", retry=ONCE)
    def work(job, n: int):
        collected.add(n)

    run = Runner.run

    def bad_end(self, job, *earlier):
        end = run(self, job, *earlier)
        return Finish("scheduled", 2**80, False, None) if job.id == 4 else end

    monkeypatch.setattr(Runner, "run", bad_end)
    here = host([work])
    with here.services.unit_of_work() as unit:
        unit.enqueue_many(work, [{"n": n} for n in range(8)])
    here.start(WorkerRole, "worker")
    collected.wait(8)

    def states():
        return dict(here.read("SELECT state, count(*) FROM rolehost_jobs GROUP BY state"))

    eventually(states, {"completed": 7, "dead": 1})
