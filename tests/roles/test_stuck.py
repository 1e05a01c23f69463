"""Jobs that do not end after their time limits: the process is replaced, the other jobs go back."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from rolehost.api import Limits, RetryPolicy, StorageUnavailable, actor
from rolehost.delivery.claims import Claims
from rolehost.delivery.jobs import Finish
from rolehost.delivery.members import Together
from rolehost.roles import coroutines, stuck
from rolehost.roles.process import Process
from rolehost.roles.worker import role
from rolehost.roles.worker.role import WorkerRole
from structlog.testing import capture_logs

ONCE = RetryPolicy(attempts=1)
LIMIT = 0.05
FAILED = f"TimeoutError: the time limit of {LIMIT} s has passed"


@pytest.fixture(autouse=True)
def logs():
    """The log lines of a test; capturing them is quicker than rendering them."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for module in (role, stuck):
        monkeypatch.setattr(module, "LATE_SECONDS", 0.2)
    monkeypatch.setattr(stuck, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(coroutines, "BLOCKED_SECONDS", 0.2)
    monkeypatch.setattr(stuck, "STUCK_GRACE", 0.1)
    monkeypatch.setattr(role, "INTERRUPT_MILLISECONDS", 200)


class Watched:
    """A worker whose request for a replacement a test waits for; then it stops."""

    def __init__(self, host) -> None:
        self._host = host
        self._asked = threading.Event()
        self.reason = ""
        self.role = host.start(self._make, "worker")
        self.role._stuck.watch()

    def _make(self, process):
        process.replace = self._replace
        made = WorkerRole(process)
        made._limits.middleware.manager.interval = 0.02
        return made

    def _replace(self, reason: str) -> None:
        self.reason = reason
        self._asked.set()

    def stop(self):
        """Stop the process when it asks for a replacement; return the rows of all jobs."""
        assert self._asked.wait(20)
        self._host.stop()
        return rows(self._host)


@pytest.fixture
def forever():
    """An event that is set after the test, so that threads end."""
    event = threading.Event()
    yield event
    event.set()


def rows(host):
    sql = "SELECT actor, state, attempt, error, owner FROM rolehost_jobs ORDER BY id"
    return [tuple(row) for row in host.read(sql)]


def failed(name):
    return (name, "dead", 1, f"{FAILED}, and it did not end", None)


def back(name):
    return (name, "available", 0, None, None)


def suspect(host):
    with host.services.database.session(), host.services.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET suspect = 1")


def test_a_stuck_job_fails_and_bystanders_go_back_uncounted(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        collected.add("stuck")
        forever.wait()

    @actor(name="bystander", retry=ONCE)
    def waits(job):
        collected.add("bystander")
        forever.wait()

    @actor(name="coroutine", retry=ONCE)
    async def sleeps(job):
        collected.add("coroutine")
        await asyncio.sleep(60)

    @actor(name="quick", retry=ONCE)
    def quick(job): ...

    here = host([holds, waits, sleeps, quick], settings="[worker]\nthreads = 2\n")
    here.services.enqueue(waits)
    here.services.enqueue(sleeps)
    worker = Watched(here)
    collected.wait(2)
    here.services.enqueue(holds)
    collected.wait(3)
    here.services.enqueue(quick)
    found = worker.stop()
    assert found == [back("bystander"), back("coroutine"), failed("stuck"), back("quick")]
    assert worker.reason.startswith("stuck (job ")


def test_effects_of_a_stuck_job_that_ends_later_are_undone(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        collected.add("began")
        try:
            forever.wait()
        except BaseException:  # the interruption, which comes too late
            with job.services.unit_of_work() as work:
                work.enqueue(child)
        collected.add("ends")

    @actor(name="child", retry=ONCE)
    def child(job): ...

    here = host([holds, child])
    here.services.enqueue(holds)
    worker = Watched(here)
    assert worker.stop() == [failed("stuck")]
    threads = worker.role._worker.workers
    forever.set()
    collected.wait(2)
    for thread in threads:
        thread.join(20)
    assert rows(here) == [failed("stuck")]


def test_members_of_the_group_of_a_stuck_job_go_back(host):
    @actor(name="member", time_limit=LIMIT, grouped=True, retry=ONCE)
    def member(job): ...

    here = host([member])
    with here.services.unit_of_work() as work:
        work.enqueue_many(member, ({} for _ in range(5)))
    process = Process(here.composition, role="worker")
    process.start()
    idle = WorkerRole(process)
    services = process.services
    claims = Claims(services.delivery, "default", ["member"], "me")
    with services.database.session():
        with services.database.transaction() as tx:
            jobs = [job for run in claims.claim(tx, 5, services.clock.now()) for job in run]
        completed = Finish("completed", 0, True, None), 0.0
        ends = idle._with_late(Together(jobs), [completed], jobs[3])
    states = [(end.state, end.counted) for end, _ in ends]
    # The fifth has no end, so it goes back too.
    handed_back = ("available", False)
    assert states == [("completed", True), handed_back, handed_back, ("dead", True)]
    process.stop()


def test_jobs_of_a_key_before_a_stuck_one_are_completed_and_later_ones_go_back(
    host, collected, forever
):
    @actor(name="ordered", time_limit=LIMIT, retry=ONCE)
    def ordered(job, n: int):
        collected.add(n)
        if n == 2:
            forever.wait()

    here = host([ordered], settings="[worker]\nthreads = 1\n")
    with here.services.unit_of_work() as work:
        for n in range(5):
            work.enqueue(ordered, key="k", n=n)
    found = Watched(here).stop()
    assert [row[1] for row in found] == ["completed", "completed", "dead", "available", "available"]
    assert [row[2] for row in found] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("first", [False, True], ids=["usual", "suspect"])
def test_a_coroutine_that_ignores_its_cancellation_fails(host, collected, forever, first):
    @actor(name="ignores", time_limit=LIMIT, retry=ONCE)
    async def ignores(job):
        collected.add("began")
        while not forever.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                collected.add("cancelled")

    @actor(name="bystander", retry=ONCE)
    async def sleeps(job):
        await asyncio.sleep(60)

    here = host([ignores, sleeps])
    here.services.enqueue(ignores)
    if first:
        suspect(here)
    here.services.enqueue(sleeps)
    found = Watched(here).stop()
    assert found == [failed("ignores"), back("bystander")]


def test_of_coroutines_on_a_blocked_loop_only_the_blocking_one_fails(host, collected, forever):
    @actor(name="blocks", time_limit=LIMIT, retry=ONCE)
    async def blocks(job):
        collected.add("began")
        forever.wait()

    @actor(name="bystander", time_limit=10 * LIMIT, retry=ONCE)
    async def sleeps(job):
        collected.add("began")
        await asyncio.sleep(60)

    here = host([blocks, sleeps])
    here.services.enqueue(sleeps)
    worker = Watched(here)
    collected.wait(1)
    here.services.enqueue(blocks)
    assert worker.stop() == [back("bystander"), failed("blocks")]


def test_a_stuck_suspect_fails_although_other_suspects_wait_for_it(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        forever.wait()

    @actor(name="waits", retry=ONCE)
    def waits(job):
        collected.add("ran")

    here = host([holds, waits], settings="[worker]\nthreads = 1\n")
    here.services.enqueue(holds)
    here.services.enqueue(waits)
    with here.services.database.session(), here.services.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET suspect = 1, crashes = 1")
    assert Watched(here).stop() == [failed("stuck"), back("waits")]


def test_a_job_that_ends_when_it_is_interrupted_replaces_nothing(host, collected):
    @actor(name="computes", time_limit=LIMIT, retry=ONCE)
    def computes(job):
        try:
            while True:
                time.sleep(0.001)
        finally:
            collected.add("interrupted")

    here = host([computes])
    here.services.enqueue(computes)
    worker = Watched(here)
    collected.wait(1)
    worker.role.stop()
    assert rows(here)[0][1:3] == ("dead", 1)
    assert not worker.reason


def test_no_process_is_replaced_while_the_database_does_not_answer(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        collected.add("began")
        forever.wait()

    asked = []
    here = host([holds])
    here.services.enqueue(holds)
    worker = Watched(here)
    database = worker.role._process.services.delivery.database
    collected.wait(1)
    read = database.read

    def unavailable(*args):
        asked.append(threading.current_thread().name)
        if asked.count("time limits") < 3:
            raise StorageUnavailable("away")
        return read(*args)

    database.read = unavailable
    assert worker.stop() == [failed("stuck")]
    assert asked.count("time limits") >= 3


def test_a_coroutine_without_a_limit_that_blocks_the_loop_in_a_task_of_its_own_fails(
    host, collected, forever
):
    async def waits():
        forever.wait()

    @actor(name="blocks", time_limit=None, retry=ONCE)
    async def blocks(job):
        collected.add("began")
        await asyncio.gather(waits())

    here = host([blocks])
    here.services.enqueue(blocks)
    worker = Watched(here)
    collected.wait(1)
    # The supervisor would replace the process after this time.
    worker.role._beats.hang = 0.6
    [(_, state, attempt, error, _)] = worker.stop()
    assert (state, attempt) == ("dead", 1)
    assert error.startswith("TimeoutError: it has blocked the event loop for")


def test_a_stuck_job_that_holds_the_write_lock_fails_and_others_can_write(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        with job.services.unit_of_work() as work:
            work.enqueue(child)
            collected.add("wrote")
            forever.wait()

    @actor(name="child", retry=ONCE)
    def child(job): ...

    here = host([holds, child])
    here.services.enqueue(holds)
    assert Watched(here).stop() == [failed("stuck")]


def test_a_suspect_that_waits_for_a_stuck_one_has_not_begun_its_time_limit(
    host, collected, forever
):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        collected.add("ran")
        forever.wait()

    here = host([holds], settings="[worker]\nthreads = 2\n")
    for _ in range(2):
        here.services.enqueue(holds)
    with here.services.database.session(), here.services.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET suspect = 1, crashes = 1")
    found = Watched(here).stop()
    assert sorted(found) == [back("stuck"), failed("stuck")]
    assert collected.items == ["ran"]


def test_a_place_of_a_limit_is_free_after_the_end_of_a_stuck_job(host, collected, forever):
    @actor(name="limited", time_limit=LIMIT, retry=ONCE, limits=Limits(concurrency=1))
    def limited(job, n: int):
        collected.add(n)
        if n == 0:
            forever.wait()

    here = host([limited])
    for n in range(2):
        here.services.enqueue(limited, n=n)
    assert Watched(here).stop() == [failed("limited"), back("limited")]
    here.start(WorkerRole, "worker")
    assert collected.wait(2) == [0, 1]


def test_a_job_that_is_stuck_at_the_end_of_a_shutdown_fails(host, collected, forever):
    @actor(name="stuck", time_limit=LIMIT, retry=RetryPolicy(attempts=2, base=60))
    def holds(job):
        collected.add("began")
        forever.wait()

    here = host([holds], settings="[worker]\ngrace = 0.2\n")
    here.services.enqueue(holds)
    here.start(WorkerRole, "worker")
    collected.wait(1)
    here.stop()
    [(_, state, attempt, error, owner)] = rows(here)
    assert (state, attempt, owner) == ("retrying", 1, None)
    assert error == f"{FAILED}, and it did not end"


def test_all_stuck_jobs_fail_and_each_is_logged_with_its_stack(host, collected, forever, logs):
    @actor(name="stuck", time_limit=LIMIT, retry=ONCE)
    def holds(job):
        collected.add(job.id)
        forever.wait()

    here = host([holds], settings="[worker]\nthreads = 3\n")
    for _ in range(3):
        here.services.enqueue(holds)
    worker = Watched(here)
    assert worker.stop() == [failed("stuck")] * 3
    lines = [each for each in logs if each["event"].startswith("a job or event is stuck")]
    assert {each["actor"] for each in lines} == {"stuck"}
    assert {each["job_id"] for each in lines} <= set(collected.items)
    assert all("in holds" in each["stack"] for each in lines)
