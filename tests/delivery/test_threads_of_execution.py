"""A unit of work belongs to one thread of execution, and commits whole or not at all."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import peewee
import pytest
from rolehost.api import (
    DatabaseMisused,
    PayloadError,
    RetryPolicy,
    StorageBusy,
    StorageUnavailable,
    TransactionAborted,
    UnitOfWorkFailed,
    actor,
)
from rolehost.delivery.guard import role_loop
from rolehost.delivery.inbox import RequestScope
from rolehost.deployment.model import LogSettings
from rolehost.roles.background import LongWriteLoop
from structlog.testing import capture_logs


@actor()
def plain(context, n: int = 0):
    pass


@pytest.fixture(autouse=True)
def quiet():
    """Failures are looked at in the ledger; writing their tracebacks takes seconds."""
    with capture_logs():
        yield


class Thing(peewee.Model):
    id = peewee.TextField(primary_key=True)

    class Meta:
        table_name = "things"


@pytest.fixture
def things(bench):
    bench.make_runtime(plain)
    with bench.database.transaction() as tx:
        tx.execute("CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY)")
    with bench.database.peewee.bind_ctx([Thing]):
        yield lambda: _things(bench)


def _things(bench):
    with bench.database.session():
        return sorted(row[0] for row in bench.database.read("SELECT id FROM things"))


def write_free(bench):
    """Another writer is not kept out."""
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("DELETE FROM things WHERE id = 'probe'")
    return True


def run_job(bench, body, **options):
    """Run one job with this body; return its state and error."""

    @actor(name="body", **options)
    def job(context):
        return body(context)

    bench.make_runtime(job, plain)
    with bench.unit_of_work() as work:
        number = work.enqueue(job).id
    bench.run(next(each for each in bench.claim() if each.id == number))
    row = bench.job(number)
    return row["state"], row["error"] or ""


# --- a block that failed ------------------------------------------------------------------------


def failing(owner, name="inner"):
    with owner.unit_of_work():
        Thing.create(id=name)
        raise ValueError("a secret text")


def test_a_unit_of_work_whose_inner_block_failed_does_not_commit(bench, things):
    with pytest.raises(UnitOfWorkFailed) as caught:
        with bench.unit_of_work() as work:
            Thing.create(id="before")
            with pytest.raises(ValueError):
                failing(bench)
            Thing.create(id="after")
            work.enqueue(plain)
    assert things() == []
    assert bench.count("rolehost_jobs") == 0
    text = str(caught.value)
    assert "failing (test_threads_of_execution:" in text.replace("tests.delivery.", "")
    assert "ValueError" in text
    assert "secret" not in text


def test_an_error_of_the_outer_block_itself_passes(bench, things):
    with pytest.raises(KeyError), bench.unit_of_work():
        with pytest.raises(ValueError):
            failing(bench)
        raise KeyError
    assert things() == []


def test_a_savepoint_may_fail_within_a_unit_of_work(bench, things):
    with bench.unit_of_work() as work:
        Thing.create(id="1")
        with pytest.raises(peewee.IntegrityError), work.database.peewee.atomic():
            Thing.create(id="1")
        Thing.create(id="2")
    assert things() == ["1", "2"]


@pytest.mark.parametrize("end", ["commit", "rollback", "begin"])
def test_a_unit_of_work_ends_with_its_block_alone(bench, things, end):
    with pytest.raises(KeyError), bench.unit_of_work() as work:
        Thing.create(id="1")
        with pytest.raises(DatabaseMisused, match="as a whole"):
            getattr(work.database.peewee, end)()
        Thing.create(id="2")
        raise KeyError
    assert things() == []


def test_a_transaction_of_peewee_within_a_unit_of_work_is_a_savepoint(bench, things):
    with bench.unit_of_work() as work:
        Thing.create(id="1")
        with pytest.raises(ValueError), work.database.peewee.transaction():
            Thing.create(id="2")
            raise ValueError
        with work.database.peewee.transaction():
            Thing.create(id="3")
    assert things() == ["1", "3"]


def test_a_refused_call_of_the_services_leaves_the_unit_of_work_whole(bench, things):
    with bench.unit_of_work():
        Thing.create(id="1")
        with pytest.raises(PayloadError), bench.unit_of_work(single=True) as work:
            work.enqueue(plain, n="not a number", unknown=1)
    assert things() == ["1"]


def test_a_caught_error_of_a_statement_never_loses_the_rest_silently(bench, things):
    """PostgreSQL undoes the whole transaction; SQLite undoes the statement."""
    try:
        with bench.unit_of_work():
            Thing.create(id="1")
            with pytest.raises(peewee.IntegrityError):
                Thing.create(id="1")
    except UnitOfWorkFailed as error:
        assert bench.database.dialect == "postgresql"
        assert "IntegrityError" in str(error)
        assert isinstance(error.__cause__, TransactionAborted)
        assert things() == []
    else:
        assert things() == ["1"]


def test_a_job_whose_block_failed_after_another_one_is_a_counted_failure(bench, things):
    def body(context):
        with context.services.unit_of_work():
            Thing.create(id="first")
        with pytest.raises(ValueError):
            failing(context.services)
        Thing.create(id="last")

    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "UnitOfWorkFailed" in error
    assert "failing" in error
    assert write_free(bench)


def test_a_delivery_goes_on_after_a_first_block_that_failed_alone(bench, things):
    def body(context):
        with pytest.raises(ValueError):
            failing(context.services)
        with context.services.unit_of_work():
            Thing.create(id="instead")

    assert run_job(bench, body)[0] == "completed"
    assert things() == ["instead"]


def test_an_idempotent_request_whose_inner_block_failed_stores_no_response(bench, things):
    with pytest.raises(UnitOfWorkFailed):
        with bench.database.session(), RequestScope(bench.runtime, "k", b"print") as scope:
            with bench.unit_of_work():
                Thing.create(id="outer")
                with pytest.raises(ValueError):
                    failing(bench)
            scope.store(201, {}, b"")
    assert things() == []
    assert bench.count("rolehost_requests") == 0


# --- other threads ------------------------------------------------------------------------------


def in_thread(call):
    """Call in another thread, with a copy of this context; raise what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, call).result()


def test_another_thread_of_a_job_has_a_unit_of_work_of_its_own(bench, things):
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


# --- other coroutines and generators ------------------------------------------------------------


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


def test_what_others_wrote_in_the_unit_of_a_closed_generator_is_not_lost_silently(bench, things):
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


def test_a_unit_of_work_that_an_ended_thread_left_open_keeps_nobody_out(bench, things):
    kept = []

    def leaves():
        kept.append(rows(bench))
        next(kept[0])

    thread = threading.Thread(target=leaves)
    thread.start()
    thread.join()
    # The ident of an ended thread is given to a later one.
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


def test_a_callback_of_peewee_after_the_commit_has_a_unit_of_work_of_its_own(bench, things):
    def callback():
        with bench.unit_of_work():
            Thing.create(id="callback")

    with bench.unit_of_work() as work:
        Thing.create(id="1")
        work.database.peewee.after_commit(callback)
    assert things() == ["1", "callback"]


def test_a_callback_after_the_commit_has_a_unit_of_work_of_its_own(bench, things):
    def callback():
        with bench.unit_of_work():
            Thing.create(id="callback")

    def body(context):
        with context.services.unit_of_work() as work:
            Thing.create(id="job")
            work.after_commit(callback)

    assert run_job(bench, body)[0] == "completed"
    with bench.unit_of_work() as work:
        Thing.delete().where(Thing.id == "callback").execute()
        work.after_commit(callback)
    assert things() == ["callback", "job"]


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", " /* done */ commit;", "-- note\nROLLBACK", "END TRANSACTION", "BEGIN", "Abort"],
)
def test_sql_that_ends_the_transaction_is_refused_in_a_unit_of_work(bench, things, statement):
    with pytest.raises(KeyError), bench.unit_of_work() as work:
        Thing.create(id="1")
        with pytest.raises(DatabaseMisused, match="as a whole"):
            work.database.peewee.execute_sql(statement)
        Thing.create(id="2")
        raise KeyError
    assert things() == []


def test_sql_of_savepoints_is_part_of_a_unit_of_work(bench, things):
    with bench.unit_of_work() as work:
        run = work.database.peewee.execute_sql
        run("SAVEPOINT mine")
        Thing.create(id="undone")
        run("ROLLBACK TO mine")
        run("RELEASE mine")
        Thing.create(id="kept")
    assert things() == ["kept"]


def test_a_unit_of_work_is_entered_once_at_a_time(bench, things):
    unit = bench.unit_of_work()
    with pytest.raises(DatabaseMisused, match="for each 'with'"), unit:
        Thing.create(id="1")
        with unit:
            pass
    assert things() == []
    for name in ("2", "3"):
        with unit:
            Thing.create(id=name)
    assert things() == ["2", "3"]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Unspeakable(), SystemExit(3), asyncio.CancelledError()])
def test_a_callback_that_fails_changes_nothing_of_what_is_committed(bench, things, error):
    called = []

    def fails():
        raise error

    with bench.unit_of_work() as work:
        Thing.create(id="1")
        work.after_commit(fails)
        work.after_commit(lambda: called.append(1))
    assert (things(), called) == (["1"], [1])


class Elsewhere(StorageUnavailable):
    @property
    def origin(self):
        raise RuntimeError("no origin")

    @origin.setter
    def origin(self, value):
        pass


@pytest.mark.parametrize("inside", [False, True])
def test_an_outage_whose_origin_cannot_be_read_is_a_counted_failure(bench, things, inside):
    def body(context):
        if inside:
            with context.services.unit_of_work():
                Thing.create(id="1")
                raise Elsewhere("hostile")
        raise Elsewhere("hostile")

    state, error = run_job(bench, body, retry=RetryPolicy(attempts=1))
    assert (state, things()) == ("dead", [])
    assert "hostile" in error


# --- the event loop of the role -----------------------------------------------------------------


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


# --- how long the write lock is held ------------------------------------------------------------


def test_a_long_write_is_reported_once_with_its_holder_and_place(bench, things):
    if not bench.runtime.guard.single_writer:
        pytest.skip("writers of PostgreSQL do not exclude each other")
    inside, leave = threading.Event(), threading.Event()

    def body(context):
        with context.services.unit_of_work():
            Thing.create(id="early")
        inside.set()
        leave.wait(20)

    thread = threading.Thread(target=lambda: run_job(bench, body))
    thread.start()
    assert inside.wait(20)
    guard = bench.runtime.guard
    assert guard.long_writes(3600) == []
    [write] = guard.long_writes(0)
    told = write.holder()
    assert guard.long_writes(0) == []
    leave.set()
    thread.join()
    assert told["holder"].startswith("actor body (job ")
    assert "body" in told["at"]
    assert guard.long_writes(0) == []


def test_a_command_waits_for_other_writers(bench, things, monkeypatch):
    if not bench.runtime.guard.single_writer:
        pytest.skip("writers of PostgreSQL do not exclude each other")
    inside, leave = threading.Event(), threading.Event()

    def other():
        with bench.unit_of_work():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(20)
    monkeypatch.setattr(bench.database.peewee, "_wait", 0.01)
    with pytest.raises(StorageBusy), bench.unit_of_work():
        pass
    monkeypatch.setattr(bench.runtime.guard, "explain_busy", lambda _error: leave.set())
    bench.runtime.busy_timeout = 20.0
    with bench.unit_of_work():
        Thing.create(id="late")
    thread.join()
    assert things() == ["late"]


def test_a_look_at_long_writes_keeps_nothing_of_other_threads(bench):
    class Marker:
        pass

    seen, go_on = threading.Event(), threading.Event()
    markers = []

    def work():
        marker = Marker()
        markers.append(weakref.ref(marker))
        seen.set()
        go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    seen.wait()
    gc.disable()
    try:
        bench.runtime.guard.long_writes(0)
        go_on.set()
        thread.join()
        assert markers[0]() is None
    finally:
        gc.enable()


def test_the_watch_of_long_writes_logs_a_warning(bench, things):
    if not bench.runtime.guard.single_writer:
        pytest.skip("writers of PostgreSQL do not exclude each other")
    watch = LongWriteLoop(bench.runtime.guard, LogSettings(long_write=1e-6))
    watch.stopping.set()
    with capture_logs() as lines, bench.unit_of_work():
        Thing.create(id="1")
        watch.step()
        watch.step()
    [line] = [each for each in lines if "write lock" in each["event"]]
    assert line["log_level"] == "warning"
    assert "test_the_watch_of_long_writes" in line["holder"]
    assert "test_the_watch_of_long_writes" in line["at"]


def test_an_error_of_another_database_passes_a_session_as_it_is(bench, tmp_path):
    first, second = (sqlite3.connect(tmp_path / "other.db", timeout=0.01) for _ in range(2))
    with first, second, bench.database.session():
        first.execute("CREATE TABLE t (id)")
        first.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError), bench.database.session():
            second.execute("CREATE TABLE u (id)")
    first.close()
    second.close()


# --- forked children ----------------------------------------------------------------------------


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
