from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import peewee
import psycopg2
import pytest
from rolehost.api import StorageBusy, StorageError, StorageUnavailable
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings


class Thing(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    value = peewee.IntegerField()

    class Meta:
        table_name = "things"


@pytest.fixture
def database(settings: PostgresSettings) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(settings)
    with database.transaction() as tx:
        tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, value INTEGER)")
        tx.execute("INSERT INTO things VALUES (1, 0), (2, 0)")
    with database.peewee.bind_ctx([Thing]):
        yield database
    database.close()


def cut_off(url: str, database: PostgresDatabase) -> None:
    """Have the server end the connections of a database, as its restart does."""
    with database.session():
        schema = database.read("SELECT current_schema()")[0][0]
        own = database.read("SELECT pg_backend_pid()")[0][0]
    admin = psycopg2.connect(url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (own,))
        assert cursor.fetchone() == (True,), schema
    admin.close()


def pid(database: PostgresDatabase) -> int:
    return int(database.read("SELECT pg_backend_pid()")[0][0])


def test_a_connection_that_was_ended_while_unused_is_replaced_without_an_error(
    url: str, database: PostgresDatabase
) -> None:
    with database.session():
        before = pid(database)
    cut_off(url, database)
    with database.session():
        assert pid(database) != before


def test_a_connection_that_is_lost_in_use_raises_once_and_the_next_call_works(
    url: str, database: PostgresDatabase
) -> None:
    with database.session():
        before = pid(database)
        admin = psycopg2.connect(url)
        with admin.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (before,))
        admin.close()
        with pytest.raises(StorageUnavailable):
            database.read("SELECT 1")
        assert pid(database) != before


def test_no_statement_of_a_transaction_runs_on_another_connection_than_its_first(
    url: str, database: PostgresDatabase
) -> None:
    with database.session():
        with pytest.raises(StorageUnavailable), database.transaction() as tx:
            tx.execute("UPDATE things SET value = 1 WHERE id = 1")
            admin = psycopg2.connect(url)
            with admin.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid(database),))
            admin.close()
            with pytest.raises(StorageUnavailable):
                Thing.update(value=2).execute()
            Thing.update(value=3).execute()
        assert [thing.value for thing in Thing.select()] == [0, 0]
        with database.transaction() as tx:
            tx.execute("UPDATE things SET value = 4")
        assert [thing.value for thing in Thing.select()] == [4, 4]


def test_a_failed_statement_cannot_be_overlooked_at_the_commit(database: PostgresDatabase) -> None:
    with database.session():
        with pytest.raises(StorageError, match="had failed"), database.transaction() as tx:
            tx.execute("UPDATE things SET value = 1")
            with pytest.raises(peewee.IntegrityError):
                tx.execute("INSERT INTO things VALUES (1, 1)")
        assert [thing.value for thing in Thing.select()] == [0, 0]


def test_waiting_too_long_for_a_row_is_busy(settings: PostgresSettings, database: Any) -> None:
    hasty = PostgresDatabase(msgspec.structs.replace(settings, lock_timeout=0.05))
    with database.session(), database.transaction() as tx:
        tx.execute("UPDATE things SET value = 1 WHERE id = 1")

        def write() -> None:
            with pytest.raises(StorageBusy), hasty.transaction() as other:
                other.execute("UPDATE things SET value = 2 WHERE id = 1")

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    hasty.close()


def test_a_deadlock_is_busy_for_one_and_nothing_for_the_other(database: PostgresDatabase) -> None:
    both, outcomes = threading.Barrier(2), []

    def write(first: int, second: int) -> None:
        try:
            with database.transaction() as tx:
                tx.execute("UPDATE things SET value = value + 1 WHERE id = ?", (first,))
                both.wait()
                tx.execute("UPDATE things SET value = value + 1 WHERE id = ?", (second,))
            outcomes.append("committed")
        except StorageBusy:
            outcomes.append("busy")

    threads = [threading.Thread(target=write, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["busy", "committed"]


def test_a_statement_that_takes_too_long_is_at_fault_itself(settings: PostgresSettings) -> None:
    database = PostgresDatabase(msgspec.structs.replace(settings, statement_timeout=0.05))
    with database.session(), pytest.raises(peewee.OperationalError, match="statement timeout"):
        database.read("SELECT pg_sleep(10)")
    database.close()


def test_when_all_connections_are_in_use_the_setting_is_named(settings: PostgresSettings) -> None:
    database = PostgresDatabase(msgspec.structs.replace(settings, pool_size=1, pool_timeout=0.05))
    with database.session():
        database.read("SELECT 1")

        def another() -> None:
            with pytest.raises(StorageUnavailable, match=r"\[postgres\] pool_size"):
                database.ping()

        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    database.ping()
    database.close()


def test_a_thread_that_ends_within_a_transaction_gives_its_connection_back(
    settings: PostgresSettings,
) -> None:
    database = PostgresDatabase(msgspec.structs.replace(settings, pool_size=1, pool_timeout=5.0))
    with database.transaction() as tx:
        tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, value INTEGER)")
    kept: list[Any] = []

    def leaves() -> None:
        kept.append(database.transaction())
        kept[0].__enter__().execute("INSERT INTO things VALUES (1, 0)")

    for _ in range(2):
        thread = threading.Thread(target=leaves)
        thread.start()
        thread.join()
        # The transaction object lives, but its connection is closed, and the place is free.
        try:
            with database.session():
                assert database.read("SELECT count(*) FROM things") == [(0,)]
        finally:
            kept.pop().driver.close()
    database.close()


def test_a_session_gives_its_connection_back_and_the_next_one_uses_it(
    database: PostgresDatabase,
) -> None:
    with database.session():
        first = pid(database)
    with database.session():
        assert pid(database) == first


def test_outside_of_a_session_there_is_no_connection(database: PostgresDatabase) -> None:
    with pytest.raises(StorageError, match=r"in no database\.session"):
        database.read("SELECT 1")


def test_a_child_forked_in_a_session_uses_connections_of_its_own(
    database: PostgresDatabase,
) -> None:
    with database.session():
        before = pid(database)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, str(pid(database)).encode())
                database.peewee.give_back()
                database.close()
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            other = pipe.read()
        assert other and int(other) != before
        assert pid(database) == before


def test_a_server_that_takes_no_writes_is_told_as_such(database: PostgresDatabase) -> None:
    with database.session():
        with pytest.raises(StorageUnavailable, match="replica"), database.transaction() as tx:
            tx.execute("SET TRANSACTION READ ONLY")
            tx.execute("UPDATE things SET value = 1")


def test_many_rows_arrive_whatever_their_number_and_size(database: PostgresDatabase) -> None:
    with database.session(), database.transaction() as tx:
        tx.execute("CREATE TABLE rows (id INTEGER, text TEXT)")
        tx.executemany("INSERT INTO rows VALUES (?, ?)", [])
        tx.executemany("INSERT INTO rows VALUES (?, ?)", [(n, "%s ?") for n in range(2500)])
        tx.executemany("INSERT INTO rows VALUES (?, ?)", [(-n, "x" * 2**20) for n in range(1, 8)])
        tx.executemany("UPDATE rows SET text = ? WHERE id = ?", [("100%", n) for n in range(2500)])
        assert database.read("SELECT count(*), count(DISTINCT id) FROM rows") == [(2507, 2507)]
        assert database.read("SELECT count(*) FROM rows WHERE text = '100%'") == [(2500,)]


def test_the_server_tells_how_many_connections_it_leaves_to_us(database: PostgresDatabase) -> None:
    with database.session():
        most, reserved = (
            int(database.read(f"SHOW {name}")[0][0])
            for name in ("max_connections", "superuser_reserved_connections")
        )

    assert 0 < (database.connection_limit() or 0) <= most - reserved
