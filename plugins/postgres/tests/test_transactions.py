from __future__ import annotations

import io
from collections.abc import Iterator

import peewee
import psycopg2
import pytest
from rolehost.api import StorageError, StorageUnavailable
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings


@pytest.fixture
def database(settings: PostgresSettings) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(settings)
    with database.session():
        with database.transaction() as tx:
            tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, value INTEGER)")
            tx.execute("INSERT INTO things VALUES (1, 0), (2, 0)")
        yield database
    database.close()


def values(database: PostgresDatabase) -> list[int]:
    return [row[0] for row in database.read("SELECT value FROM things ORDER BY id")]


def test_a_transaction_that_runs_nothing_is_unknown_to_the_server(
    database: PostgresDatabase,
) -> None:
    with database.transaction():
        assert database.peewee.driver().idle
    with database.transaction():
        pass
    assert values(database) == [0, 0]


def test_a_first_statement_with_a_mistake_fails_the_transaction_like_any_other(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(StorageError, match="had failed"), database.transaction() as tx:
        with pytest.raises(peewee.ProgrammingError, match="syntax"):
            tx.execute("UPDATE UPDATE things")
        assert not database.peewee.driver().idle
    with pytest.raises(StorageError, match="had failed"), database.transaction() as tx:
        with pytest.raises(peewee.ProgrammingError, match="nowhere"):
            tx.execute("UPDATE nowhere SET value = 1")


def test_a_first_statement_that_the_driver_cannot_fill_in_leaves_the_transaction_to_begin(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        with pytest.raises(IndexError):
            tx.execute("UPDATE things SET value = ? WHERE id = ?", (1,))
        tx.execute("UPDATE things SET value = 1")
        raise ZeroDivisionError
    assert values(database) == [0, 0]


@pytest.mark.parametrize("how", ["bytes", "many", "copy", "named", "function", "savepoint"])
def test_whatever_comes_first_is_within_the_transaction(
    database: PostgresDatabase, how: str
) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        with database.peewee.driver().cursor() as cursor:
            if how == "bytes":
                cursor.execute(b"SELECT 1")
            elif how == "many":
                cursor.executemany("INSERT INTO things VALUES (%s, 0)", [(3,)])
            elif how == "copy":
                cursor.copy_expert("COPY things FROM STDIN", io.StringIO("3\t0\n"))
            elif how == "function":
                cursor.callproc("pg_sleep", (0,))
        if how == "named":
            named = database.peewee.driver().cursor("some", withhold=True)
            named.execute("SELECT 1")
            named.close()
        if how == "savepoint":
            with database.peewee.atomic():
                tx.execute("INSERT INTO things VALUES (3, 0)")
        assert not database.peewee.driver().idle
        tx.execute("UPDATE things SET value = 1")
        raise ZeroDivisionError
    assert values(database) == [0, 0]


def test_the_loss_of_a_connection_cannot_be_overlooked_at_the_commit(
    url: str, database: PostgresDatabase
) -> None:
    with pytest.raises(StorageUnavailable), database.transaction() as tx:
        tx.execute("UPDATE things SET value = 1")
        admin = psycopg2.connect(url)
        with admin.cursor() as cursor:
            pid = database.peewee.driver().info.backend_pid
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        admin.close()
        with pytest.raises(StorageUnavailable):
            tx.execute("UPDATE things SET value = 2")
    assert values(database) == [0, 0]


def test_the_last_statement_commits_when_it_changes_a_row(database: PostgresDatabase) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE things SET value = 1 WHERE id = 1")
        assert tx.conclude("UPDATE things SET value = ? WHERE id = ?", (2, 2))
        assert database.peewee.driver().idle
    assert values(database) == [1, 2]
    with database.transaction() as tx:
        assert tx.conclude("DELETE FROM things WHERE id = 1")
    assert values(database) == [2]


def test_the_last_statement_commits_nothing_when_it_changes_no_row(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        tx.execute("UPDATE things SET value = 1")
        assert not tx.conclude("UPDATE things SET value = 2 WHERE id = 3")
        raise ZeroDivisionError
    assert values(database) == [0, 0]


def test_the_last_statement_of_a_failed_transaction_is_refused(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(StorageError, match="had failed"), database.transaction() as tx:
        tx.execute("UPDATE things SET value = 1")
        with pytest.raises(peewee.IntegrityError):
            tx.execute("INSERT INTO things VALUES (1, 1)")
        tx.conclude("UPDATE things SET value = 2")
    assert values(database) == [0, 0]


def test_the_only_statement_of_a_transaction_commits_in_the_same_round_trip(
    database: PostgresDatabase,
) -> None:
    with database.transaction() as tx:
        cursor = tx.execute_only("INSERT INTO things VALUES (?, 7) RETURNING id", (3,))
        assert database.peewee.driver().idle
        assert cursor.fetchone() == (3,)
    assert values(database) == [0, 0, 7]


def test_the_only_statement_runs_after_the_session_has_lost_its_prepared_statements(
    database: PostgresDatabase,
) -> None:
    insert = "INSERT INTO things VALUES (?, 7) RETURNING id"
    with database.session():
        for number in (3, 4):
            with database.transaction() as tx:
                tx.execute_only(insert, (number,))
            database.peewee.execute_sql("DEALLOCATE ALL")
        with database.transaction() as tx:
            tx.execute_only(insert, (5,))
        assert database.read("SELECT count(*) FROM pg_prepared_statements") == [(1,)]
    assert values(database) == [0, 0, 7, 7, 7]
