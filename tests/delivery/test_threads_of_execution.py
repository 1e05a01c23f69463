"""A unit of work belongs to one thread of execution."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from rolehost.api import (
    DatabaseMisused,
    RetryPolicy,
    StorageBusy,
)
from rolehost.delivery.guard import role_loop

from tests.delivery.things import Thing, plain, run_job, write_free


def in_thread(call):
    """Call in another thread, with a copy of this context; raise its exceptions."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, call).result()


def test_another_thread_of_a_job_has_a_separate_unit_of_work(bench, things):
    def body(context):
        def store():
            with context.services.unit_of_work() as work:
                Thing.create(id="mine")
                work.enqueue(plain)

        asyncio.run(_to_thread(store))

    assert run_job(bench, body)[0] == "completed"
    assert things() == ["mine"]
    assert bench.count("rolehost_jobs") == 2
    assert write_free(bench)


async def _to_thread(call):
    await asyncio.to_thread(call)


@pytest.mark.parametrize("use", ["unit of work", "session", "transaction", "model"])
def test_another_thread_is_refused_while_the_jobs_unit_of_work_is_open(bench, things, use):
    def body(context):
        def other():
            if use == "unit of work":
                context.services.unit_of_work().__enter__()
            elif use == "session":
                bench.database.session().__enter__()
            elif use == "transaction":
                bench.database.transaction().__enter__()
            else:
                Thing.create(id="other")

        with context.services.unit_of_work():
            Thing.create(id="mine")
        in_thread(other)

    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "DatabaseMisused" in error
    assert "body" in error
    assert "another thread" in error
    assert write_free(bench)


def test_a_thread_without_the_context_that_waits_for_the_jobs_own_lock_is_a_counted_failure(
    bench, things, tmp_path
):
    def body(context):
        def other():
            with context.services.unit_of_work():
                Thing.update(id="theirs").execute()

        with context.services.unit_of_work():
            Thing.create(id="mine")
        if bench.database.dialect == "postgresql":
            # Its rows are locked, not the database: the thread would wait for nothing.
            raise StorageBusy("as if")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(other).result()

    bench.database.peewee._wait = 0.05
    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "StorageBusy" in error
    if bench.database.dialect == "sqlite":
        assert "actor body" in error, "names who of this process holds the lock"
    assert write_free(bench)


def test_a_unit_of_work_is_not_used_by_another_thread_nor_after_its_end(bench, things):
    with bench.unit_of_work() as work:
        job = work.enqueue(plain)
        with pytest.raises(DatabaseMisused, match="another thread"):
            in_thread(lambda: work.enqueue(plain))
        with pytest.raises(DatabaseMisused, match="another thread"):
            in_thread(lambda: work.transaction.execute("DELETE FROM things"))
    for use in (
        lambda: work.enqueue(plain),
        lambda: work.enqueue_many(plain, [{}]),
        lambda: work.after_commit(print),
    ):
        with pytest.raises(DatabaseMisused, match="has ended"):
            use()
    with pytest.raises(DatabaseMisused, match="has ended"):
        work.transaction.execute("DELETE FROM things")
    assert [each.id for each in bench.claim()] == [job.id]


def test_a_context_that_outlives_its_job_joins_nothing(bench, things):
    kept = []

    def body(context):
        kept.append(copy_context())
        with context.services.unit_of_work():
            Thing.create(id="1")

    assert run_job(bench, body)[0] == "completed"

    def later():
        with bench.unit_of_work():
            Thing.create(id="2")

    kept[0].run(later)
    assert things() == ["1", "2"]


def test_coroutines_of_one_thread_do_not_share_a_unit_of_work(bench, things):
    refused = []

    async def holds(entered, leave):
        with bench.unit_of_work():
            entered.set()
            await leave.wait()
            raise ValueError

    async def writes():
        try:
            Thing.create(id="lost")
        except DatabaseMisused as error:
            refused.append(str(error))

    async def main():
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(holds(entered, leave))
        await entered.wait()
        await writes()
        leave.set()
        with pytest.raises(ValueError):
            await task

    with bench.database.session():
        asyncio.run(main())
    assert len(refused) == 1
    assert "holds" in refused[0]
    assert things() == []


def rows(owner):
    with owner.unit_of_work():
        Thing.create(id="generated")
        yield 1


def test_a_generator_suspended_in_its_block_keeps_a_job_from_committing(bench, things):
    kept = []

    def body(context):
        kept.append(rows(context.services))
        next(kept[0])

    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "rows" in error
    assert "has not ended" in error
    kept.clear()
    gc.collect()
    assert write_free(bench)


def test_a_unit_of_work_left_open_is_rolled_back_at_the_end_of_the_session(bench, things):
    kept = rows(bench)
    with pytest.raises(DatabaseMisused, match=r"rows.*still open"), bench.database.session():
        next(kept)
    kept.close()
    assert things() == []
    assert write_free(bench)
    with bench.unit_of_work():
        Thing.create(id="later")
    assert things() == ["later"]


def test_writes_of_others_in_the_unit_of_work_of_a_closed_generator_are_not_lost_silently(
    bench, things
):
    def body(context):
        for _ in rows(context.services):
            Thing.create(id="in the loop")
            break

    assert run_job(bench, body, retry=RetryPolicy(attempts=1))[0] == "dead"
    assert things() == []

    with pytest.raises(DatabaseMisused, match=r"rows .*closed"), bench.database.session():
        for _ in rows(bench):
            with bench.unit_of_work():
                Thing.create(id="in the loop")
            break
    assert things() == []
    assert write_free(bench)


def test_a_coroutine_that_fails_undoes_nothing_of_another_one_silently(bench, things):
    def body(context):
        async def first(entered, leave):
            with context.services.unit_of_work():
                entered.set()
                await leave.wait()
                raise ValueError

        async def main():
            entered, leave = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(first(entered, leave))
            await entered.wait()
            with context.services.unit_of_work():
                Thing.create(id="second")
            leave.set()
            with pytest.raises(ValueError):
                await task

        asyncio.run(main())

    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "ValueError" in error


def test_a_unit_of_work_that_an_ended_thread_left_open_blocks_no_other(bench, things):
    kept = []

    def leaves():
        kept.append(rows(bench))
        next(kept[0])

    thread = threading.Thread(target=leaves)
    thread.start()
    thread.join()
    # A later thread may reuse the ident of an ended thread.
    guard = bench.runtime.guard
    for _ in range(3):
        for other in [threading.Thread(target=write_free, args=(bench,)) for _ in range(4)]:
            other.start()
            other.join()
    assert write_free(bench)
    kept.clear()
    gc.collect()
    assert things() == []
    assert write_free(bench)
    assert not guard.long_writes(0)


@pytest.mark.parametrize(
    "use",
    [
        lambda bench: bench.unit_of_work().__enter__(),
        lambda bench: bench.database.session().__enter__(),
        lambda bench: bench.database.transaction().__enter__(),
        lambda bench: bench.database.read("SELECT 1"),
        lambda bench: Thing.create(id="loop"),
        lambda bench: list(Thing.select()),
        lambda bench: bench.database.peewee.atomic().__enter__(),
        lambda bench: bench.database.peewee.cursor(),
        lambda bench: bench.database.peewee.connection(),
    ],
)
def test_no_use_of_the_database_on_the_loop_of_the_role(bench, things, use):
    async def on_put():
        with role_loop(asyncio.get_running_loop()):
            use(bench)

    with bench.database.session(), pytest.raises(DatabaseMisused) as caught:
        asyncio.run(on_put())
    text = str(caught.value)
    assert "async responder" in text
    assert "on_put (" in text
    assert "await services.run(function" in text
    assert things() == []


def test_other_loops_may_use_the_database(bench, things):
    async def resolve():
        with bench.unit_of_work():
            Thing.create(id="1")

    asyncio.run(resolve())
    assert things() == ["1"]


def test_a_child_that_a_job_forks_touches_nothing_of_the_job_and_ends(bench, things):
    def body(context):
        with context.services.unit_of_work() as work:
            Thing.create(id="parent")
            child = os.fork()
            if child == 0:
                try:
                    work.enqueue(plain)
                except DatabaseMisused:
                    sys.exit(7)
        if child == 0:
            return
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    assert run_job(bench, body)[0] == "completed"
    assert things() == ["parent"]
    assert bench.count("rolehost_jobs") == 1
