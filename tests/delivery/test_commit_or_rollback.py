"""A unit of work commits as a whole or not at all."""

from __future__ import annotations

import asyncio

import peewee
import pytest
from rolehost.api import (
    DatabaseMisused,
    PayloadError,
    RetryPolicy,
    StorageUnavailable,
    TransactionAborted,
    UnitOfWorkFailed,
)
from rolehost.delivery.inbox import RequestScope

from tests.delivery.things import Thing, failing, plain, run_job, write_free


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
    assert "failing (things:" in text.replace("tests.delivery.", "")
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


def test_a_callback_of_peewee_after_the_commit_has_a_separate_unit_of_work(bench, things):
    def callback():
        with bench.unit_of_work():
            Thing.create(id="callback")

    with bench.unit_of_work() as work:
        Thing.create(id="1")
        work.database.peewee.after_commit(callback)
    assert things() == ["1", "callback"]


def test_a_callback_after_the_commit_has_a_separate_unit_of_work(bench, things):
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
