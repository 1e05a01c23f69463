from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import peewee
import pytest
from msgspec.structs import replace
from rolehost.api import StorageBusy, StorageError, StorageUnavailable
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.location import absolute, file_system, prepare
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_testing.conformance.clients import PATIENCE, in_threads, process


@pytest.fixture
def database(settings: EmbeddedSettings) -> Iterator[EmbeddedDatabase]:
    database = EmbeddedDatabase(settings)
    with database.transaction() as transaction:
        transaction.execute("CREATE TABLE numbers (value INTEGER, filler BLOB)")
        transaction.execute("INSERT INTO numbers (value) VALUES (0)")
    yield database
    database.close()


def _value(database: EmbeddedDatabase) -> int:
    with database.session():
        value: int = database.read("SELECT value FROM numbers")[0][0]
    return value


def test_threads_that_read_and_then_write_lose_nothing(database: EmbeddedDatabase) -> None:
    def work(_: int) -> None:
        for _ in range(25):
            with database.session(), database.transaction() as transaction:
                (value,) = transaction.execute("SELECT value FROM numbers").fetchone()
                transaction.execute("UPDATE numbers SET value = ?", (value + 1,))

    in_threads(4, work)
    assert _value(database) == 100


def test_a_cursor_that_is_kept_does_not_keep_what_later_sessions_read(
    database: EmbeddedDatabase,
) -> None:
    with database.session():
        cursor = database.peewee.execute_sql("SELECT 1 UNION SELECT value FROM numbers")
        cursor.fetchone()

    def write() -> None:
        with database.session(), database.transaction() as transaction:
            transaction.execute("UPDATE numbers SET value = 7")

    in_threads(1, lambda _: write())
    assert _value(database) == 7
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()


def test_atomic_of_peewee_alone_waits_for_its_turn_too(database: EmbeddedDatabase) -> None:
    def work(_: int) -> None:
        for _ in range(25):
            with database.session(), database.peewee.atomic():
                (value,) = database.peewee.execute_sql("SELECT value FROM numbers").fetchone()
                database.peewee.execute_sql("UPDATE numbers SET value = ?", (value + 1,))

    in_threads(4, work)
    assert _value(database) == 100


@pytest.mark.parametrize(("setting", "level"), [("full", 2), ("normal", 1)])
def test_the_file_is_opened_as_the_settings_say(
    settings: EmbeddedSettings, setting: str, level: int
) -> None:
    database = EmbeddedDatabase(replace(settings, synchronous=setting))
    with database.session():
        assert database.read("PRAGMA synchronous") == [(level,)]
        assert database.read("PRAGMA journal_mode") == [("wal",)]
        assert database.read("PRAGMA foreign_keys") == [(1,)]
        assert database.read("PRAGMA cache_size") == [(-2048,)]
    database.close()


def test_a_lock_of_another_program_is_busy_and_named(settings: EmbeddedSettings) -> None:
    database = EmbeddedDatabase(replace(settings, busy_timeout=0.01))
    database.ping()
    foreign = sqlite3.connect(settings.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy, match=r"service\.db.*another program"):
        with database.transaction():
            pass
    foreign.execute("ROLLBACK")
    foreign.close()
    with database.transaction():
        pass
    database.close()


def test_a_full_disk_is_unavailable_and_mends_itself(database: EmbeddedDatabase) -> None:
    with database.session():
        (pages,) = database.read("PRAGMA page_count")[0]
        database.read(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageUnavailable, match="disk is full"):
            with database.transaction() as transaction:
                transaction.execute("UPDATE numbers SET value = 1")
                transaction.execute("UPDATE numbers SET filler = ?", (bytes(1_000_000),))
        assert _value(database) == 0
        database.read("PRAGMA max_page_count = 1000000")
        with database.transaction() as transaction:
            transaction.execute("UPDATE numbers SET value = 2")
        assert _value(database) == 2


def test_peewee_errors_of_the_storage_leave_a_session_as_the_hosts(
    settings: EmbeddedSettings,
) -> None:
    database = EmbeddedDatabase(replace(settings, busy_timeout=0.01))
    database.ping()
    foreign = sqlite3.connect(settings.path, isolation_level=None)
    foreign.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageBusy), database.session():
        database.peewee.execute_sql("CREATE TABLE more (value)")
    foreign.close()
    database.close()


class _Interruption(BaseException):
    pass


def test_a_thread_interrupted_anywhere_leaves_the_lock_to_others(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As time limits do it: an exception that another thread raises in this one."""
    # It may strike in a finalizer, and between the opening of a connection and its keeping: the
    # one is no error, the other is closed with a warning when it is collected.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    stop = threading.Event()
    interruptions = [0]

    def work() -> None:
        while not stop.is_set():
            try:
                with database.session(), database.transaction() as transaction:
                    transaction.execute("UPDATE numbers SET value = value + 1")
            except _Interruption:
                interruptions[0] += 1

    def shielded() -> None:
        while not stop.is_set():
            with contextlib.suppress(_Interruption):
                work()

    threads = [threading.Thread(target=shielded) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        for thread in threads:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Interruption)
            )
        _increment(database)
    stop.set()
    for thread in threads:
        thread.join()
    assert interruptions[0]
    _increment(database)
    gc.collect()


def test_outside_a_session_nothing_connects(database: EmbeddedDatabase) -> None:
    def work(_: int) -> None:
        with pytest.raises(StorageError, match="session"):
            database.read("SELECT 1")
        with pytest.raises(peewee.InterfaceError):
            database.peewee.execute_sql("SELECT 1")

    in_threads(1, work)


def test_ended_threads_leave_no_open_files(database: EmbeddedDatabase) -> None:
    def open_together() -> None:
        everyone = threading.Barrier(8)

        def work(_: int) -> None:
            database.ping()
            everyone.wait(PATIENCE)

        in_threads(8, work)
        gc.collect()

    # SQLite itself keeps some for the connections that come next.
    open_together()
    before = len(_open_files())
    open_together()
    assert len(_open_files()) == before


def test_closing_waits_for_no_thread_and_leaves_no_file_open(
    settings: EmbeddedSettings,
) -> None:
    database = EmbeddedDatabase(settings)
    inside, go_on = threading.Event(), threading.Event()
    seen: list[object] = []

    def work() -> None:
        with database.session():
            database.read("SELECT 1")
            inside.set()
            go_on.wait(PATIENCE)
            seen.extend(database.read("SELECT 2"))

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(PATIENCE)
    database.close()
    go_on.set()
    thread.join()
    assert seen == [(2,)]
    assert not [file for file in _open_files() if file.startswith(str(settings.path))]
    with pytest.raises(StorageError, match="closed"), database.session():
        database.read("SELECT 1")


def _open_files() -> list[str]:
    links = Path("/proc/self/fd").iterdir()
    return [str(link.readlink()) for link in links if link.is_symlink()]


def _increment(database: EmbeddedDatabase) -> None:
    with database.session(), database.transaction() as transaction:
        transaction.execute("UPDATE numbers SET value = value + 1")


def fork_before_opening(channel: Connection, settings: EmbeddedSettings) -> None:
    database = EmbeddedDatabase(settings)
    pid = os.fork()
    _increment(database)
    database.close()
    if pid == 0:
        os._exit(0)
    channel.send(os.waitpid(pid, 0)[1])


def fork_while_writing(channel: Connection, settings: EmbeddedSettings) -> None:
    database = EmbeddedDatabase(settings)
    with database.session(), database.transaction() as transaction:
        transaction.execute("UPDATE numbers SET value = value + 1")
        pid = os.fork()
        if pid == 0:
            try:
                _increment(EmbeddedDatabase(settings))
            except StorageError as error:
                channel.send(str(error))
            os._exit(0)
        os.waitpid(pid, 0)
    _increment(database)
    database.close()


def test_a_database_made_before_a_fork_and_opened_after_it_serves_both(
    database: EmbeddedDatabase, settings: EmbeddedSettings
) -> None:
    with process(fork_before_opening, settings) as child:
        assert child.receive() == 0
        child.finish()
    assert _value(database) == 2


def test_a_child_forked_from_an_open_database_is_refused_and_hurts_nobody(
    database: EmbeddedDatabase, settings: EmbeddedSettings
) -> None:
    with process(fork_while_writing, settings) as child:
        assert "after the fork" in child.receive()
        child.finish()
    assert _value(database) == 2


def test_a_missing_folder_is_made(settings: EmbeddedSettings, tmp_path: Path) -> None:
    database = EmbeddedDatabase(replace(settings, path=tmp_path / "a" / "b" / "service.db"))
    database.ping()
    database.close()
    assert (tmp_path / "a" / "b" / "service.db").exists()


def test_a_file_that_is_no_database_is_named(settings: EmbeddedSettings) -> None:
    settings.path.write_text("hello\n" * 1000)
    database = EmbeddedDatabase(settings)
    with pytest.raises(StorageError, match=r"service\.db: this file is not a SQLite database"):
        database.ping()
    database.close()


def test_a_folder_is_no_database(settings: EmbeddedSettings) -> None:
    settings.path.mkdir()
    database = EmbeddedDatabase(settings)
    with pytest.raises(StorageError, match=r"service\.db: this is a folder"):
        database.ping()


def test_a_folder_that_cannot_be_made_is_named(settings: EmbeddedSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = EmbeddedDatabase(replace(settings, path=tmp_path / "file" / "x" / "service.db"))
    with pytest.raises(StorageUnavailable, match="the folder cannot be created"):
        database.ping()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_an_unreadable_file_is_named(settings: EmbeddedSettings) -> None:
    settings.path.touch(mode=0o000)
    database = EmbeddedDatabase(settings)
    with pytest.raises(StorageUnavailable, match=r"service\.db: no permission"):
        database.ping()


@pytest.mark.parametrize("path", [":memory:", "", "file:x?mode=memory"])
def test_memory_is_refused_for_processes_cannot_share_it(path: str) -> None:
    with pytest.raises(StorageError, match="processes share the database through a file"):
        absolute(Path("/somewhere") / path if path else Path())


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolehost_embedded.location.file_system", lambda folder: "nfs4")
    with pytest.raises(StorageError, match=r"network file system \(nfs4\)"):
        prepare(tmp_path / "service.db")


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        f"30 22 0:5 / {tmp_path}/with\\040space rw - nfs4 server:/x rw\n"
        f"31 22 0:6 / {tmp_path}/over rw - ext4 /dev/sdb rw\n"
        f"32 31 0:7 / {tmp_path}/over rw master:2 - cifs //server/y rw\n"
    )
    assert file_system(tmp_path, mounts) == "ext4"
    assert file_system(tmp_path / "with space" / "deep", mounts) == "nfs4"
    assert file_system(tmp_path / "over", mounts) == "cifs"
    assert file_system(tmp_path / "overlong", mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "missing") == ""


def test_an_abandoned_thread_holds_no_lock_and_its_later_statements_fail(
    database: EmbeddedDatabase,
) -> None:
    wrote, go_on = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def write() -> None:
        try:
            with database.session(), database.transaction() as transaction:
                transaction.execute("UPDATE numbers SET value = 1")
                wrote.set()
                assert go_on.wait(PATIENCE)
                transaction.execute("UPDATE numbers SET value = 2")
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert wrote.wait(PATIENCE)
    assert thread.ident is not None
    database.abandon(thread.ident)
    with database.session(), database.transaction() as transaction:
        transaction.execute("UPDATE numbers SET value = value + 5")
    go_on.set()
    thread.join(PATIENCE)
    assert len(errors) == 1
    assert _value(database) == 5


def test_a_thread_without_a_transaction_is_not_abandoned(database: EmbeddedDatabase) -> None:
    with database.session():
        database.abandon(threading.get_ident())
        assert database.read("SELECT value FROM numbers") == [(0,)]
