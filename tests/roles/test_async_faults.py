"""Coroutines that misbehave: none stops the event loop, or changes the end of another job."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from rolehost.api import Complete, Retry, RetryPolicy, actor
from rolehost.delivery import administration
from rolehost.roles.worker.role import WorkerRole

ONCE = RetryPolicy(attempts=1)

#: Short, so that a test whose coroutine never ends fails soon.
GRACE = "[worker]\ngrace = 1\n"


def rows(host):
    return host.read("SELECT actor, state, attempt, error FROM rolehost_jobs ORDER BY id")


def suspect(host):
    with host.services.database.session(), host.services.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET suspect = 1")


@pytest.mark.parametrize("how", ["task", "group", "callback", "stop"])
def test_nothing_that_a_coroutine_does_ends_the_event_loop(host, collected, how):
    async def leave():
        sys.exit(3)

    @actor(retry=ONCE)
    async def bad(job):
        loop = asyncio.get_running_loop()
        collected.add("began")
        if how == "task":
            await asyncio.create_task(leave())
        elif how == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(leave())
        elif how == "callback":
            loop.call_soon(sys.exit, 3)
        else:
            loop.stop()

    @actor()
    async def good(job):
        collected.add("good")

    here = host([bad, good], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(bad)
    collected.wait(1)
    here.services.enqueue(good)
    assert collected.wait(2)[1:] == ["good"]
    here.stop()
    states = {name: state for name, state, *_ in rows(here)}
    assert states == {
        "good": "completed",
        "bad": "dead" if how in ("task", "group") else "completed",
    }


def test_an_exception_that_hides_its_class_fails_its_job(host, collected):
    class Odd(Exception):
        @property
        def __class__(self):
            raise ValueError("no class")

    @actor(retry=ONCE)
    async def odd(job):
        collected.add("began")
        raise Odd

    here = host([odd], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(odd)
    collected.wait(1)
    here.stop()
    assert [row[1:3] for row in rows(here)] == [("dead", 1)]


def test_a_shutdown_counts_no_attempt_of_a_grouped_actor(host, collected):
    @actor(grouped=True, retry=ONCE)
    async def endless(job):
        collected.add("began")
        await asyncio.sleep(60)

    here = host([endless], settings="[worker]\ngrace = 0.1\nthreads = 1\n")
    here.start(WorkerRole, "worker")
    with here.services.unit_of_work() as work:
        work.enqueue_many(endless, ({} for _ in range(20)))
    collected.wait(20)
    here.stop()
    assert {row[1:3] for row in rows(here)} == {("available", 0)}


def test_the_completions_of_a_group_are_stored_when_others_are_handed_back(host, collected):
    """A coroutine that ends because of the shutdown must not take back finished ones."""

    def record(job):
        collected.add("recorded")

    @actor(grouped=True, retry=ONCE)
    async def work(job, n: int):
        collected.add("began")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if n % 2:
                raise
        return Complete(record, job)

    here = host([work], settings="[worker]\ngrace = 0.1\nthreads = 1\n")
    here.start(WorkerRole, "worker")
    with here.services.unit_of_work() as unit:
        unit.enqueue_many(work, ({"n": n} for n in range(20)))
    collected.wait(20)
    here.stop()
    states = [state for _, state, *_ in rows(here)]
    assert states == ["completed", "available"] * 10
    assert collected.items.count("recorded") == 10


def test_every_coroutine_may_wait_for_a_thread(host, collected):
    def made(name, queue):
        @actor(name=name, queue=queue, retry=ONCE)
        async def calls(job):
            collected.add(name)
            await job.services.run(collected.wait, 120)

        return calls

    actors = [made(f"a{n}", f"q{n}") for n in range(3)]
    here = host(actors, settings="[worker]\nthreads = 1\nconcurrency = 40\n")
    with here.services.unit_of_work() as work:
        for each in actors:
            work.enqueue_many(each, ({} for _ in range(40)))
    here.start(WorkerRole, "worker")
    collected.wait(120)
    here.stop()
    assert {row[1:] for row in rows(here)} == {("completed", 1, None)}


def test_a_suspect_writes_in_units_of_work_as_other_jobs(host, collected):
    def write(services):
        with services.unit_of_work() as work:
            work.enqueue(child)

    @actor(retry=ONCE)
    async def parent(job):
        await job.services.run(write, job.services)
        raise ValueError("what run() has committed stays")

    @actor()
    def child(job):
        collected.add("child")

    here = host([parent, child], settings=GRACE)
    here.services.enqueue(parent)
    suspect(here)
    here.start(WorkerRole, "worker")
    assert collected.wait(1) == ["child"]


def test_a_suspect_is_cancelled_at_once(host, collected):
    @actor()
    async def waits(job):
        collected.add("began")
        try:
            await asyncio.sleep(60)
        finally:
            collected.add("ended")

    here = host([waits], settings=GRACE)
    services = here.services
    job = services.enqueue(waits)
    suspect(here)
    here.start(WorkerRole, "worker")
    collected.wait(1)
    with services.database.session(), services.database.transaction() as tx:
        _, queue = administration.cancel(tx, job.id, services.clock.now())
    services.delivery.wake([queue])
    collected.wait(2)
    here.stop()
    assert [row[1] for row in rows(here)] == ["cancelled"]


def test_a_suspect_that_passes_its_time_limit_is_cancelled_before_it_ends(host, collected):
    @actor(time_limit=1.0, retry=ONCE)
    async def waits(job):
        try:
            await asyncio.sleep(60)
        finally:
            collected.add("cleaned up")

    here = host([waits], settings=GRACE)
    here.services.enqueue(waits)
    suspect(here)
    here.start(WorkerRole, "worker")
    collected.wait(1)
    here.stop()
    assert rows(here) == [("waits", "dead", 1, "TimeoutError: the time limit of 1 s has passed")]


def test_a_job_that_is_stopped_before_its_coroutine_begins_is_handed_back(host, collected):
    blocking = threading.Event()

    @actor(retry=ONCE)
    async def blocks(job):
        collected.add("began")
        blocking.wait(20)

    @actor(retry=ONCE)
    async def late(job):
        collected.add("late")

    here = host([blocks, late], settings="[worker]\ngrace = 0.2\n")
    role = here.start(WorkerRole, "worker")
    here.services.enqueue(blocks)
    collected.wait(1)
    claimed, start = threading.Event(), role._coroutines.start

    def starts(attempts):
        start(attempts)
        if attempts:
            claimed.set()

    role._coroutines.start = starts
    here.services.enqueue(late)
    claimed.wait(20)
    role._coroutines._loop.call_soon_threadsafe(role._coroutines._stop)
    blocking.set()
    here.stop()
    assert [row[1:3] for row in rows(here)] == [("completed", 1), ("available", 0)]
    assert collected.items == ["began"]


def test_a_coroutine_that_a_synchronous_actor_returns_is_a_failed_attempt(host, collected):
    async def inner():
        collected.add("inner")

    made = []

    @actor(retry=ONCE)
    def outer(job):
        made.append(inner())
        collected.add("outer")
        return made[0]

    here = host([outer], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(outer)
    collected.wait(1)
    here.stop()
    [(_, state, _, error)] = rows(here)
    assert state == "dead"
    assert error.startswith("TypeError: actor outer returned coroutine")
    made[0].close()  # it was never awaited


def test_tasks_that_a_coroutine_leaves_behind_are_cancelled_at_the_end(host, collected):
    async def stays():
        try:
            await asyncio.sleep(60)
        finally:
            collected.add("cancelled")

    kept = []

    @actor()
    async def leaves(job):
        kept.append(asyncio.create_task(stays()))
        await asyncio.sleep(0)
        collected.add("left")

    here = host([leaves], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(leaves)
    collected.wait(1)
    here.stop()
    assert collected.wait(2) == ["left", "cancelled"]


def test_a_group_of_errors_is_a_failed_attempt_with_its_members(host, collected):
    async def fails(n):
        raise ValueError(f"member {n}")

    @actor(retry=ONCE)
    async def many(job):
        collected.add("began")
        async with asyncio.TaskGroup() as group:
            for n in range(2):
                group.create_task(fails(n))

    here = host([many], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(many)
    collected.wait(1)
    here.stop()
    [(_, state, _, error)] = rows(here)
    assert state == "dead"
    assert "ValueError: member 0" in error


def test_a_lost_claim_undoes_the_effects_of_complete(host, collected):
    def record(job):
        with job.services.unit_of_work() as work:
            work.enqueue(child)
            collected.add("recorded")

    def steal(job):
        with job.services.database.transaction() as tx:
            tx.execute("UPDATE rolehost_jobs SET token = token + 1 WHERE id = ?", (job.id,))

    @actor(retry=ONCE)
    async def parent(job):
        await job.services.run(steal, job)
        return Complete(record, job)

    @actor()
    def child(job):
        collected.add("child")

    here = host([parent, child], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(parent)
    collected.wait(1)
    here.stop()
    assert [row[0] for row in rows(here)] == ["parent"]


def test_complete_may_ask_for_a_retry_and_keeps_its_effects(host, collected):
    def record(job):
        with job.services.unit_of_work() as work:
            work.enqueue(child)
        return Retry("again", delay=3600)

    @actor()
    async def parent(job):
        return Complete(record, job)

    @actor()
    def child(job):
        collected.add("child")

    here = host([parent, child], settings=GRACE)
    here.start(WorkerRole, "worker")
    here.services.enqueue(parent)
    collected.wait(1)
    here.stop()
    assert [row[1:3] for row in rows(here)] == [("retrying", 1), ("completed", 1)]
