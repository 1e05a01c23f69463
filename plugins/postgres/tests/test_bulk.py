from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings

INSERT = "INSERT INTO rows (id, text, data, number, yes) VALUES (?, ?, ?, ?, ?)"


@pytest.fixture
def database(settings: PostgresSettings) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(settings)
    with database.session():
        with database.transaction() as tx:
            tx.execute(
                "CREATE TABLE rows (id BIGINT PRIMARY KEY, text TEXT, data BYTEA,"
                " number DOUBLE PRECISION, yes BOOLEAN)"
            )
        yield database
    database.close()


def rows(count: int) -> list[tuple[Any, ...]]:
    strange = ["", "a\tb\nc\rd", r"\N", r"\\x41 \t", "ü 🐍 %s ?", "'; --", "\x01\x1f", None]
    data = [b"", bytes(range(256)), b"\\", None]
    numbers = [0.1, -1e300, float("inf"), None]
    return [
        (n, strange[n % 8], data[n % 4], numbers[n % 4], (True, False, None)[n % 3])
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 49, 50, 2500])
def test_every_value_arrives_as_it_was_whether_copied_or_inserted(
    database: PostgresDatabase, count: int
) -> None:
    with database.transaction() as tx:
        tx.executemany(INSERT, rows(count))
    assert database.read("SELECT * FROM rows ORDER BY id") == rows(count)


def test_what_the_driver_alone_can_write_is_inserted_among_what_is_copied(
    database: PostgresDatabase,
) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    with database.transaction() as tx:
        tx.execute("CREATE TABLE moments (id INTEGER, at TIMESTAMP)")
        tx.executemany("INSERT INTO moments (id, at) VALUES (?, ?)", [(1, moment)] * 100)
    assert database.read("SELECT count(*), min(at), max(at) FROM moments") == [
        (100, moment, moment)
    ]


def test_a_text_with_nul_is_refused_however_many_there_are(database: PostgresDatabase) -> None:
    bad = [(n, "a\0b", None, None, None) for n in range(100)]
    for some in (bad[:2], bad):
        with pytest.raises(ValueError, match="NUL"), database.transaction() as tx:
            tx.executemany(INSERT, some)


def test_a_violated_constraint_is_the_same_error_however_many_there_are(
    database: PostgresDatabase,
) -> None:
    for count in (2, 100):
        with pytest.raises(peewee.IntegrityError), database.transaction() as tx:
            tx.executemany(INSERT, [(7, None, None, None, None)] * count)
    assert database.read("SELECT count(*) FROM rows") == [(0,)]


def test_rows_that_may_be_there_already_are_passed_over(database: PostgresDatabase) -> None:
    with database.transaction() as tx:
        tx.executemany(INSERT, rows(60))
        tx.executemany(f"{INSERT} ON CONFLICT (id) DO NOTHING", rows(120))
    assert database.read("SELECT count(*) FROM rows") == [(120,)]
