"""No error of the driver shows a value of a row or a parameter."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import psycopg2
import pytest
from rolehost.api import StorageError
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings

HIDDEN = "whsec-3141592653"

TABLE = """CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL, secret TEXT NOT NULL,
    CHECK (length(secret) > 3))"""
INSERT = "INSERT INTO endpoint (id, uid, secret) VALUES (?, ?, ?)"


@pytest.fixture
def database(settings: PostgresSettings) -> Iterator[PostgresDatabase]:
    made = PostgresDatabase(settings)
    with made.session():
        with made.transaction() as transaction:
            transaction.execute(TABLE)
            transaction.execute(INSERT, (1, HIDDEN, HIDDEN))
        yield made
    made.close()


def one(sql: str, *params: Any) -> Callable[[PostgresDatabase], None]:
    def run(database: PostgresDatabase) -> None:
        with database.transaction() as transaction:
            transaction.execute(sql, params)

    return run


def many(rows: int) -> Callable[[PostgresDatabase], None]:
    def run(database: PostgresDatabase) -> None:
        with database.transaction() as transaction:
            transaction.executemany(INSERT, [(2 + n, HIDDEN, HIDDEN) for n in range(rows)])

    return run


def by_peewee(database: PostgresDatabase) -> None:
    class Endpoint(peewee.Model):
        uid = peewee.TextField()
        secret = peewee.TextField()

        class Meta:
            database = None

    with database.peewee.bind_ctx([Endpoint]), database.peewee.atomic():
        Endpoint.create(id=2, uid=HIDDEN, secret=HIDDEN)


def by_cursor(database: PostgresDatabase) -> None:
    database.peewee.cursor().execute("SELECT %s::integer", (HIDDEN,))


REFUSED = {
    "a duplicate key": one(INSERT, 2, HIDDEN, HIDDEN),
    "a missing value": one(INSERT, 2, None, HIDDEN),
    "a failed check": one("UPDATE endpoint SET secret = ?, id = 2", "".ljust(2)),
    "a value of another type": one("SELECT CAST(? AS INTEGER)", HIDDEN),
    "a text with quotes": one("SELECT CAST(? AS INTEGER)", f'a "{HIDDEN}" b'),
    "a date": one("SELECT CAST(? AS DATE)", f"9999-99-99 {HIDDEN}"),
    "JSON": one("SELECT CAST(? AS JSON)", f'{{"a": {HIDDEN}}}'),
    "a statement with a mistake": one("SELECT ?, missing FROM endpoint", HIDDEN),
    "a statement that cannot be parsed": one("SELECT ? FROM FROM", HIDDEN),
    "several rows": many(3),
    "a thousand rows": many(1000),
    "a model": by_peewee,
    "a cursor": by_cursor,
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_error_shows_a_value(database: PostgresDatabase, what: str) -> None:
    with pytest.raises((peewee.PeeweeException, psycopg2.Error, StorageError)) as caught:
        REFUSED[what](database)
    text = "".join(traceback.format_exception(caught.value))
    assert HIDDEN not in text
    assert "DETAIL" not in text


def test_what_is_wrong_is_said_all_the_same(database: PostgresDatabase) -> None:
    with pytest.raises(
        peewee.IntegrityError, match='violates unique constraint "endpoint_uid_key"'
    ):
        one(INSERT, 2, HIDDEN, HIDDEN)(database)
    with pytest.raises(peewee.ProgrammingError, match=r'"missing" does not exist \(at character'):
        one("SELECT ?, missing FROM endpoint", HIDDEN)(database)
    with pytest.raises(peewee.IntegrityError) as caught:
        one(INSERT, 2, HIDDEN, HIDDEN)(database)
    assert HIDDEN in caught.value.orig.diag.message_detail
