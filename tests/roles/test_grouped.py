"""Jobs of grouped actors in the worker role; events of grouped handlers in the consumer role."""

from __future__ import annotations

import threading
import time

import pytest
from rolehost import failpoints
from rolehost.api import Event, Limits, RetryPolicy, actor, handler
from rolehost.roles.consumer.role import ConsumerRole
from rolehost.roles.worker import role
from rolehost.roles.worker.role import WorkerRole


@pytest.fixture
def groups(monkeypatch):
    """Return the sizes of the groups that run."""
    sizes = []
    original = role.run_together

    def counted(runner, jobs, attempt, ends):
        sizes.append(len(jobs))
        original(runner, jobs, attempt, ends)

    monkeypatch.setattr(role, "run_together", counted)
    return sizes


@actor()
def child(context, n: int):
    """Be the effect of another job."""


def write(context, n):
    with context.services.unit_of_work() as work:
        work.enqueue(child, n=n, delay=1000)


def states(host):
    return dict(
        host.read("SELECT state, count(*) FROM rolehost_jobs WHERE actor != 'child' GROUP BY state")
    )


def children(host):
    return host.read("SELECT count(*) FROM rolehost_jobs WHERE actor = 'child'")[0][0]


def enqueue(host, each, count, **options):
    with host.services.unit_of_work() as work:
        for n in range(count):
            work.enqueue(each, n=n, **options)


def test_many_jobs_run_in_groups_and_leave_one_effect_each(host, collected, groups):
    @actor(grouped=True)
    def member(context, n: int):
        write(context, n)
        collected.add(n)

    here = host([member, child])
    enqueue(here, member, 300)
    here.start(WorkerRole, "worker")
    collected.wait(300)
    here.stop()
    assert sorted(collected.items) == list(range(300))
    assert states(here) == {"completed": 300}
    assert children(here) == 300
    assert max(groups) > 10


def test_a_job_that_is_alone_runs_as_if_not_grouped(host, collected, groups):
    @actor(grouped=True)
    def member(context, n: int):
        write(context, n)
        collected.add(n)

    here = host([member, child])
    here.start(WorkerRole, "worker")
    enqueue(here, member, 1)
    collected.wait(1)
    here.stop()
    assert states(here) == {"completed": 1}
    assert groups == []


def test_jobs_of_one_key_keep_their_order(host, collected, groups):
    @actor(grouped=True)
    def member(context, n: int):
        collected.add(n)

    here = host([member])
    enqueue(here, member, 30, key="one")
    here.start(WorkerRole, "worker")
    assert collected.wait(30) == list(range(30))
    here.stop()
    assert groups == []


def test_grouped_jobs_with_a_limit_free_their_places(host, collected):
    @actor(grouped=True, limits=Limits(concurrency=4))
    def member(context, n: int):
        write(context, n)
        collected.add(n)

    here = host([member, child])
    enqueue(here, member, 40)
    here.start(WorkerRole, "worker")
    collected.wait(40)
    here.stop()
    assert states(here) == {"completed": 40}


def test_the_time_limit_of_a_member_makes_each_run_alone(host, groups):
    def body(context, n):
        write(context, n)
        if n == 1 and context.attempt == 1:
            while True:
                time.sleep(0.01)  # the interrupt arrives between two of these

    @actor(grouped=True, time_limit=0.3, retry=RetryPolicy(attempts=2, base=0.05))
    def member(context, n: int):
        body(context, n)

    here = host([member, child], settings="[worker]\nthreads = 3\n")
    enqueue(here, member, 3)
    here.start(WorkerRole, "worker")
    while states(here) != {"completed": 3}:
        threading.Event().wait(0.01)
    assert children(here) == 3
    assert here.read("SELECT attempt FROM rolehost_jobs WHERE actor = 'member' ORDER BY id") == [
        (1,),
        (2,),
        (1,),
    ]
    assert groups == [3]


def test_the_time_limit_of_the_last_member_covers_the_commit_of_the_group(host, groups):
    hung = threading.Event()

    def hang(_point):
        if not hung.is_set():
            hung.set()
            while True:
                time.sleep(0.01)  # the interrupt arrives between two of these

    @actor(grouped=True, time_limit=0.3)
    def member(context, n: int):
        write(context, n)

    here = host([member, child], settings="[worker]\nthreads = 3\n")
    enqueue(here, member, 3)
    disarm = failpoints.arm("work.before_commit", hang)
    try:
        here.start(WorkerRole, "worker")
        while states(here) != {"completed": 3}:
            threading.Event().wait(0.01)
    finally:
        disarm()
    assert children(here) == 3
    assert here.read("SELECT DISTINCT attempt FROM rolehost_jobs WHERE actor = 'member'") == [(1,)]
    assert groups == [3]


def test_a_group_that_outlasts_the_grace_is_handed_back_uncounted(host, collected, groups):
    @actor(grouped=True)
    def member(context, n: int):
        write(context, n)
        collected.add(n)
        while n == 1:
            time.sleep(0.01)  # the interrupt arrives between two of these

    here = host([member, child], settings="[worker]\ngrace = 0.2\nthreads = 3\n")
    enqueue(here, member, 3)
    here.start(WorkerRole, "worker")
    collected.wait(2)
    here.stop()
    assert groups == [3]
    rows = here.read("SELECT DISTINCT state, attempt FROM rolehost_jobs WHERE actor = 'member'")
    assert rows == [("available", 0)]
    assert children(here) == 0


def publish(host, count, keys):
    with host.services.unit_of_work() as work:
        for n in range(count):
            work.publish(Event(topic="things", type="thing", data=n, key=f"k{n % keys}"))


def test_a_failing_event_of_a_group_delays_only_its_key(host, collected):
    gate = threading.Event()

    @handler(
        topic="things",
        group="g",
        payload=int,
        grouped=True,
        retry=RetryPolicy(attempts=1000, base=0.05, max_delay=0.05),
    )
    def on(context, event):
        write(context, event.data)
        if event.data == 3 and not gate.is_set():
            raise ValueError
        with context.services.unit_of_work() as work:
            work.after_commit(lambda: collected.add(event.data))

    here = host([child], [on])
    publish(here, 60, 6)
    here.start(ConsumerRole, "consumer")
    first = collected.wait(50)
    assert not [n for n in first if n % 6 == 3]
    gate.set()
    seen = collected.wait(60)
    for key in range(6):
        assert [n for n in seen if n % 6 == key] == list(range(key, 60, 6))
    here.stop()
    assert children(here) == 60
