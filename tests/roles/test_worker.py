"""The worker role: durable and ephemeral jobs, delays, limits, draining."""

from __future__ import annotations

import threading
import time

from rolehost.api import Limits, RetryPolicy, actor
from rolehost.delivery import administration, limitstore
from rolehost.roles.worker.role import WorkerRole

#: The name for the wake-up of the jobs of these tests.
WAKE = "queue:default"


def worker(host):
    return host.start(WorkerRole, "worker")


def states(host):
    return dict(host.read("SELECT state, count(*) FROM rolehost_jobs GROUP BY state"))


def test_durable_and_ephemeral_actors_run_beside_each_other(host, collected):
    @actor()
    def durable(context, n: int):
        collected.add(("durable", n))

    @actor(durable=False)
    def ephemeral(services, n: int):
        assert services.deployment
        collected.add(("ephemeral", n))

    here = host([durable, ephemeral])
    worker(here)
    here.services.enqueue(durable, n=1)
    here.services.send(ephemeral, n=2)
    assert sorted(collected.wait(2)) == [("durable", 1), ("ephemeral", 2)]


def test_thousands_of_jobs_run_once_each_and_are_completed_when_the_worker_has_stopped(
    host, collected
):
    @actor()
    def count(context, n: int):
        collected.add(n)

    here = host([count])
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(count, ({"n": n} for n in range(3000)))
    assert sorted(collected.wait(3000)) == list(range(3000))
    here.stop()
    assert states(here) == {"completed": 3000}


def test_a_delayed_job_runs_when_its_time_has_come(host, collected):
    @actor()
    def later(context, due: float):
        collected.add(time.time() - due)

    here = host([later])
    worker(here)
    here.services.enqueue(later, delay=0.3, due=time.time() + 0.3)
    [late] = collected.wait(1)
    assert late >= -0.002


def test_jobs_enqueued_by_a_job_exist_only_when_it_succeeds(host, collected):
    @actor()
    def child(context, n: int):
        collected.add(n)

    @actor(retry=RetryPolicy(attempts=2, base=0.05))
    def parent(context):
        with context.services.unit_of_work() as work:
            work.enqueue(child, n=context.attempt)
        if context.attempt == 1:
            raise ValueError("the first attempt fails after its effects")

    here = host([child, parent])
    worker(here)
    here.services.enqueue(parent)
    assert collected.wait(1) == [2]
    here.stop()
    assert states(here) == {"completed": 2}


def test_a_job_that_runs_too_long_is_interrupted_and_retried(host, collected):
    @actor(time_limit=0.2, retry=RetryPolicy(attempts=2, base=0.05))
    def slow(context):
        collected.add(context.attempt)
        while context.attempt == 1:
            time.sleep(0.01)  # the interrupt arrives between two of these

    here = host([slow])
    worker(here)
    here.services.enqueue(slow)
    assert collected.wait(2) == [1, 2]


def test_draining_finishes_running_jobs_and_releases_jobs_that_have_not_started(host, collected):
    release = threading.Event()

    @actor()
    def held(context, n: int):
        collected.add(n)
        release.wait(20)

    here = host([held], settings="[worker]\nthreads = 2\nprefetch = 10\n")
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(held, ({"n": n} for n in range(6)))
    collected.wait(2)
    stopping = threading.Thread(target=here.stop)
    stopping.start()
    release.set()
    stopping.join(20)
    found = states(here)
    done = len(collected.items)
    assert found == {"completed": done, "available": 6 - done}
    assert here.read("SELECT max(attempt) FROM rolehost_jobs WHERE state = 'available'") == [(0,)]


def test_draining_hands_back_the_rest_of_a_key(host, collected):
    release = threading.Event()

    @actor()
    def held(context, n: int):
        collected.add(n)
        release.wait(20)

    here = host([held])
    role = worker(here)
    with here.services.unit_of_work() as work:
        for n in range(5):
            work.enqueue(held, n=n, key="k")
    collected.wait(1)
    stopping = threading.Thread(target=here.stop)
    stopping.start()
    [consumer] = role._consumers.values()
    assert consumer._stopping.wait(20)
    release.set()
    stopping.join(20)
    assert collected.items == [0]
    assert states(here) == {"completed": 1, "available": 4}


def test_a_job_longer_than_the_grace_is_interrupted_and_handed_back_uncounted(host, collected):
    @actor()
    def endless(context):
        collected.add(1)
        while True:
            time.sleep(0.01)  # the interrupt arrives between two of these

    here = host([endless], settings="[worker]\ngrace = 0.2\n")
    worker(here)
    here.services.enqueue(endless)
    collected.wait(1)
    here.stop()
    assert here.read("SELECT state, attempt, suspect FROM rolehost_jobs") == [("available", 0, 0)]


def test_two_workers_share_a_queue_and_run_each_job_once(host, collected):
    @actor()
    def count(context, n: int):
        collected.add(n)

    here = host([count])
    worker(here)
    here.start(WorkerRole, "worker", slot=1)
    with here.services.unit_of_work() as work:
        work.enqueue_many(count, ({"n": n} for n in range(1000)))
    collected.wait(1000)
    here.stop()
    assert sorted(collected.items) == list(range(1000))


def test_a_worker_takes_only_its_configured_queues(host, collected):
    @actor(queue="wanted")
    def wanted(context):
        collected.add("wanted")

    @actor(queue="unwanted")
    def unwanted(context):
        collected.add("unwanted")

    here = host([wanted, unwanted], settings='[worker]\nqueues = ["wanted"]\n')
    worker(here)
    here.services.enqueue(unwanted)
    here.services.enqueue(wanted)
    assert collected.wait(1) == ["wanted"]
    here.stop()
    assert states(here) == {"completed": 1, "available": 1}


def test_a_job_that_is_cancelled_while_it_waits_behind_another_one_is_not_run(host, collected):
    leave = threading.Event()

    @actor()
    def slow(context):
        collected.add("slow")
        leave.wait(20)

    @actor()
    def quick(context):
        collected.add("quick")

    here = host([slow, quick], settings="[worker]\nthreads = 1\n")
    role = worker(here)
    here.services.enqueue(slow)
    collected.wait(1)
    role._consumers["default"]._pace.mean = 1e-6  # as if jobs were quick: more are claimed ahead
    number = here.services.enqueue(quick).id
    while states(here) != {"claimed": 2}:
        threading.Event().wait(0.01)
    with here.services.unit_of_work() as work:
        now = here.services.clock.now()
        assert administration.cancel(work.transaction, number, now) == ("asked", WAKE)
    leave.set()
    while states(here) != {"completed": 1, "cancelled": 1}:
        threading.Event().wait(0.01)
    assert collected.items == ["slow"]


def test_a_worker_follows_the_limits_that_are_set_at_run_time(host, collected):
    gates = [threading.Event() for _ in range(4)]

    @actor(limits=Limits(concurrency=1))
    def hold(context, n: int):
        collected.add(n)
        gates[n].wait(20)

    def claimed() -> int:
        found = states(here)
        return found.get("claimed", 0) + found.get("running", 0)

    here = host([hold])
    with here.services.unit_of_work() as work:
        work.enqueue_many(hold, ({"n": n} for n in range(4)))
    worker(here)
    assert len(collected.wait(1)) == 1
    assert claimed() == 1
    actors, now = here.services.delivery.declared.actors, here.services.clock.now()
    with here.services.unit_of_work() as work:
        limitstore.change(work.transaction, actors, "actor:hold", now, concurrency=3)
    assert len(collected.wait(3)) == 3
    assert claimed() == 3
    for gate in gates:
        gate.set()
    assert sorted(collected.wait(4)) == [0, 1, 2, 3]
