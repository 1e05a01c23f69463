"""Transactions that hold the write lock for long are reported."""

from __future__ import annotations

import gc
import sqlite3
import threading
import weakref

import pytest
from rolehost.api import (
    StorageBusy,
)
from rolehost.deployment.model import LogSettings
from rolehost.roles.background import LongWriteLoop
from structlog.testing import capture_logs

from tests.delivery.things import Thing, run_job


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
    found = write.holder()
    assert guard.long_writes(0) == []
    leave.set()
    thread.join()
    assert found["holder"].startswith("actor body (job ")
    assert "body" in found["at"]
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


def test_the_check_for_long_writes_keeps_no_reference_to_other_threads(bench):
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
