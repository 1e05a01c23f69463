"""Asynchronous actors: many jobs at once on one event loop, ended by threads."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from rolehost import joblog
from rolehost.api import Complete, Limits, Retry, RetryPolicy, Snooze, actor
from rolehost.delivery import administration
from rolehost.roles.worker.role import WorkerRole
from structlog.testing import capture_logs


def worker(host):
    return host.start(WorkerRole, "worker")


def states(host):
    return dict(host.read("SELECT state, count(*) FROM rolehost_jobs GROUP BY state"))


def cancel(host, number):
    services = host.services
    with services.database.session(), services.database.transaction() as tx:
        _, queue = administration.cancel(tx, number, services.clock.now())
    services.delivery.wake([queue])


def rows(host):
    return host.read("SELECT state, attempt, error FROM rolehost_jobs ORDER BY id")


def test_more_jobs_than_threads_run_at_the_same_time(host, collected):
    together = asyncio.Event()
    waiting = []

    @actor()
    async def meet(job, n: int):
        waiting.append(n)
        if len(waiting) == 50:
            together.set()
        await together.wait()
        collected.add(n)

    here = host([meet], settings="[worker]\nthreads = 2\n")
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(meet, ({"n": n} for n in range(50)))
    assert sorted(collected.wait(50)) == list(range(50))
    here.stop()
    assert states(here) == {"completed": 50}


def suspects(here, **columns):
    """Let the jobs be those of a process that died."""
    values = ", ".join(f"{name} = {value}" for name, value in columns.items())
    services = here.services
    with services.database.session(), services.database.transaction() as tx:
        tx.execute(f"UPDATE rolehost_jobs SET {values} WHERE actor = 'meet'")


def test_jobs_of_a_process_that_died_do_not_occupy_the_threads(host, collected):
    together = asyncio.Event()
    waiting = []

    @actor()
    async def meet(job, n: int):
        waiting.append(n)
        if len(waiting) == 20:
            together.set()
        await together.wait()
        collected.add(n)

    here = host([meet], settings="[worker]\nthreads = 2\n")
    with here.services.unit_of_work() as work:
        work.enqueue_many(meet, ({"n": n} for n in range(20)))
    suspects(here, suspect=1)
    worker(here)
    assert sorted(collected.wait(20)) == list(range(20))
    here.stop()
    assert states(here) == {"completed": 20}


def test_of_jobs_that_may_have_killed_processes_one_runs_at_a_time_beside_the_others(
    host, collected
):
    release = threading.Event()
    running = []

    @actor()
    async def meet(job, n: int):
        running.append(n)
        while not release.is_set():
            await asyncio.sleep(0.01)
        running.remove(n)
        collected.add(n)

    @actor()
    async def other(job, n: int):
        collected.add(f"other {len(running)}")

    here = host([meet, other], settings="[worker]\nthreads = 2\n")
    with here.services.unit_of_work() as work:
        work.enqueue_many(meet, ({"n": n} for n in range(5)))
        work.enqueue_many(other, ({"n": n} for n in range(5)), delay=0.2)
    suspects(here, suspect=1, crashes=1)
    worker(here)
    assert set(collected.wait(5)) == {"other 1"}
    release.set()
    assert len(collected.wait(10)) == 10
    here.stop()
    assert states(here) == {"completed": 10}


def test_a_failed_coroutine_leaves_an_attempt_with_its_log_lines(host, collected):
    @actor(retry=RetryPolicy(attempts=1))
    async def logs(job):
        joblog.keep("in the coroutine")
        collected.add("begun")
        raise ValueError("no")

    here = host([logs])
    worker(here)
    here.services.enqueue(logs)
    collected.wait(1)
    here.stop()
    ((log, error),) = here.read("SELECT log, error FROM rolehost_attempts")
    assert (log, error) == ("in the coroutine", "ValueError: no")


def test_the_coroutine_of_an_expired_job_does_not_begin(host, collected):
    @actor()
    async def late(job, n: int):
        collected.add(n)

    here = host([late])
    with here.services.unit_of_work() as work:
        work.enqueue(late, n=1, key="k", expires_at=0)
        work.enqueue(late, n=2, key="k")
    worker(here)
    assert collected.wait(1) == [2]
    here.stop()
    assert states(here) == {"cancelled": 1, "completed": 1}


def test_no_more_jobs_run_at_a_time_than_the_concurrency_of_the_worker(host, collected):
    running, most = set(), []

    @actor()
    async def count(job, n: int):
        running.add(n)
        most.append(len(running))
        await asyncio.sleep(0.001)
        running.discard(n)
        collected.add(n)

    here = host([count], settings="[worker]\nconcurrency = 3\n")
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(count, ({"n": n} for n in range(40)))
    assert sorted(collected.wait(40)) == list(range(40))
    assert max(most) == 3


def test_synchronous_and_asynchronous_actors_of_a_queue_run_in_one_process(host, collected):
    @actor()
    def plain(job):
        collected.add(threading.current_thread().name)

    @actor()
    async def coroutine(job):
        collected.add(threading.current_thread().name)

    here = host([plain, coroutine])
    worker(here)
    here.services.enqueue(plain)
    here.services.enqueue(coroutine)
    assert len(set(collected.wait(2))) == 2


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_the_function_of_complete_commits_with_the_end_of_the_job(host, collected, grouped):
    def finish(job, n):
        with job.services.unit_of_work() as work:
            work.enqueue(after, n=n)
        if n == 1 and job.attempt == 1:
            raise ValueError("the effects of this attempt are undone")
        return Snooze(0.05) if n == 2 and job.id not in seen and not seen.add(job.id) else None

    seen = set()

    @actor(retry=RetryPolicy(attempts=2, base=0.05), grouped=grouped)
    async def before(job, n: int):
        await asyncio.sleep(0)
        return Complete(finish, job, n)

    @actor()
    def after(job, n: int):
        collected.add(n)

    here = host([before, after])
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(before, ({"n": n} for n in range(4)))
    assert sorted(collected.wait(5)) == [0, 1, 2, 2, 3]
    here.stop()
    assert states(here) == {"completed": 9}


def test_run_calls_a_function_in_its_own_unit_of_work(host, collected):
    def write(services):
        with services.unit_of_work() as work:
            work.enqueue(child)
        return "written"

    @actor(retry=RetryPolicy(attempts=1))
    async def parent(job):
        collected.add(await job.services.run(write, job.services))
        raise ValueError("what run() has committed stays")

    @actor()
    def child(job):
        collected.add("child")

    here = host([parent, child])
    worker(here)
    here.services.enqueue(parent)
    assert sorted(collected.wait(2)) == ["child", "written"]
    here.stop()
    assert states(here) == {"completed": 1, "dead": 1}


def test_the_database_is_refused_on_the_event_loop(host, collected):
    @actor(retry=RetryPolicy(attempts=1))
    async def wrong(job):
        collected.add("began")
        with job.services.unit_of_work():
            pass

    here = host([wrong])
    worker(here)
    here.services.enqueue(wrong)
    collected.wait(1)
    here.stop()
    [(_, _, error)] = rows(here)
    assert "await services.run(function, ...)" in error


def test_outcomes_and_errors_are_those_of_synchronous_actors(host, collected):
    @actor(retry=RetryPolicy(attempts=2, base=0.01))
    async def retries(job):
        collected.add("began")
        return Retry("not yet") if job.attempt == 1 else None

    @actor(retry=RetryPolicy(attempts=1))
    async def exits(job):
        collected.add("began")
        raise SystemExit(3)

    @actor(retry=RetryPolicy(attempts=1))
    async def cancels(job):
        collected.add("began")
        raise asyncio.CancelledError

    @actor(retry=RetryPolicy(attempts=1))
    async def wrong(job):
        collected.add("began")
        return 7

    here = host([retries, exits, cancels, wrong])
    worker(here)
    for each in (retries, exits, cancels, wrong):
        here.services.enqueue(each)
    collected.wait(5)
    here.stop()
    found = rows(here)
    assert [state for state, *_ in found] == ["completed", "dead", "dead", "dead"]
    assert [error for *_, error in found[1:]] == [
        "RuntimeError: code of a plugin raised SystemExit: 3",
        "RuntimeError: code of a plugin raised CancelledError: ",
        "TypeError: actor wrong returned int; expected None, Retry, Snooze, Dead or Complete",
    ]


def test_a_time_limit_cancels_the_coroutine_and_counts_the_attempt(host, collected):
    @actor(time_limit=1.0, retry=RetryPolicy(attempts=1))
    async def slow(job):
        try:
            await asyncio.sleep(60)
        finally:
            collected.add("cleaned up")

    here = host([slow])
    worker(here)
    here.services.enqueue(slow)
    collected.wait(1)
    here.stop()
    assert rows(here) == [("dead", 1, "TimeoutError: the time limit of 1 s has passed")]


def test_a_cancelled_job_ends_at_once(host, collected):
    @actor()
    async def waits(job):
        collected.add("began")
        try:
            await asyncio.sleep(60)
        finally:
            collected.add("cleaned up")

    here = host([waits])
    worker(here)
    job = here.services.enqueue(waits)
    collected.wait(1)
    cancel(here, job.id)
    collected.wait(2)
    here.stop()
    assert states(here) == {"cancelled": 1}


def test_a_stopped_worker_hands_back_coroutines_without_counting_the_attempt(host, collected):
    @actor()
    async def quick(job):
        collected.add("began")
        await asyncio.sleep(0.05)

    @actor()
    async def endless(job):
        collected.add("began")
        await asyncio.sleep(60)

    here = host([quick, endless], settings="[worker]\ngrace = 0.5\n")
    worker(here)
    here.services.enqueue(endless)
    here.services.enqueue(quick)
    collected.wait(2)
    here.stop()
    assert rows(here) == [("available", 0, None), ("completed", 1, None)]


def test_jobs_of_a_key_run_one_after_another_in_order(host, collected):
    @actor()
    async def ordered(job, n: int):
        collected.add(("begin", n))
        await asyncio.sleep(0.001)
        collected.add(("end", n))

    here = host([ordered])
    worker(here)
    with here.services.unit_of_work() as work:
        for n in range(10):
            work.enqueue(ordered, key="k", n=n)
    wanted = [(what, n) for n in range(10) for what in ("begin", "end")]
    assert collected.wait(20) == wanted


def test_a_limit_of_an_actor_holds(host, collected):
    running = set()

    @actor(limits=Limits(concurrency=2))
    async def few(job, n: int):
        running.add(n)
        collected.add(len(running))
        await asyncio.sleep(0.001)
        running.discard(n)

    here = host([few])
    worker(here)
    with here.services.unit_of_work() as work:
        work.enqueue_many(few, ({"n": n} for n in range(20)))
    assert max(collected.wait(20)) == 2


def test_a_suspect_is_recorded_before_its_coroutine_begins(host, collected):
    @actor()
    async def perhaps(job):
        collected.add(
            await job.services.run(job.services.database.read, "SELECT state FROM rolehost_jobs")
        )

    here = host([perhaps])
    here.services.enqueue(perhaps)
    with here.services.database.session(), here.services.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET suspect = 1")
    worker(here)
    assert [tuple(row) for row in collected.wait(1)[0]] == [("running",)]


def test_a_coroutine_that_blocks_the_loop_is_reported_with_its_stack(host, collected):
    @actor()
    async def blocks(job):
        time.sleep(1.8)  # this is what the test is about
        collected.add("done")

    here = host([blocks])
    with capture_logs() as logs:
        worker(here)
        here.services.enqueue(blocks)
        collected.wait(1)
    [entry] = [each for each in logs if each["event"].startswith("the event loop is blocked")]
    assert (entry["actor"], entry["job_id"]) == ("blocks", 1)
    assert "time.sleep(1.8)" in entry["stack"]
