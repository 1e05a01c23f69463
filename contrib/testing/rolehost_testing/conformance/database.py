"""The conformance suite of ``database`` backends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import peewee
import pytest
from rolehost.errors import StorageError, ValueRefused
from rolehost.storage import CAPABILITIES, Database

from rolehost_testing.conformance.clients import (
    PATIENCE,
    BackendSuite,
    in_threads,
    need,
    process,
)

_TABLE = "conformance"
_BLOB = {"sqlite": "BLOB", "postgresql": "BYTEA"}
_THREADS, _TIMES = 4, 25


class _Row(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    value = peewee.BigIntegerField()

    class Meta:
        table_name = _TABLE


def _value(database: Database, row: int = 1) -> Any:
    with database.session():
        rows = database.read(f"SELECT value FROM {_TABLE} WHERE id = ?", (row,))
    return rows[0][0] if rows else None


def _insert(database: Database, row: int, value: int) -> None:
    with database.transaction() as transaction:
        transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", (row, value))


def _increment(database: Database, times: int = 1) -> None:
    for _ in range(times):
        with database.session(), database.transaction() as transaction:
            transaction.execute(f"UPDATE {_TABLE} SET value = value + 1 WHERE id = ?", (1,))


class DatabaseConformance(BackendSuite[Database]):
    """Subclass it and override ``make_backend``."""

    @pytest.fixture
    def backend(self, open_client: Callable[[], Database]) -> Iterator[Database]:
        """A client, with an empty table."""
        database = open_client()
        with database.session(), database.transaction() as transaction:
            transaction.execute(f"DROP TABLE IF EXISTS {_TABLE}")
            transaction.execute(
                f"CREATE TABLE {_TABLE} (id INTEGER PRIMARY KEY, value BIGINT, text TEXT,"
                f" data {_BLOB[database.dialect]})"
            )
        with database.peewee.bind_ctx([_Row]):
            yield database
        with database.session(), database.transaction() as transaction:
            transaction.execute(f"DROP TABLE {_TABLE}")

    def test_declares_known_capabilities_and_a_dialect(self, backend: Database) -> None:
        assert backend.capabilities <= set(CAPABILITIES["database"])
        assert backend.dialect in ("sqlite", "postgresql")

    def test_a_transaction_commits_at_its_end(self, backend: Database) -> None:
        with backend.session(), backend.transaction() as transaction:
            transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", (1, 7))
        assert _value(backend) == 7

    def test_the_only_statement_and_the_last_one_of_a_transaction_are_committed(
        self, backend: Database
    ) -> None:
        with backend.session():
            with backend.transaction() as transaction:
                sql = f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?) RETURNING value"
                assert transaction.execute_only(sql, (1, 7)).fetchone() == (7,)
            with backend.transaction() as transaction:
                transaction.execute(f"UPDATE {_TABLE} SET value = 8 WHERE id = ?", (1,))
                sql = f"UPDATE {_TABLE} SET value = value + 1 WHERE id = ?"
                assert transaction.conclude(sql, (1,))
        assert _value(backend) == 9

    @pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
    def test_an_error_rolls_back_and_passes_through(
        self, backend: Database, kind: type[BaseException]
    ) -> None:
        with pytest.raises(kind), backend.session():
            with backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", (1, 7))
                raise kind()
        assert _value(backend) is None

    def test_after_a_failed_statement_the_next_transaction_works(self, backend: Database) -> None:
        with backend.session():
            with pytest.raises(peewee.DatabaseError), backend.transaction() as transaction:
                transaction.execute("SELECT nothing FROM nowhere")
            _insert(backend, 1, 7)
        assert _value(backend) == 7

    def test_a_violated_constraint_is_an_integrity_error(self, backend: Database) -> None:
        with backend.session():
            _insert(backend, 1, 7)
            with pytest.raises(peewee.IntegrityError):
                _insert(backend, 1, 8)
        assert _value(backend) == 7

    def test_reading_inside_a_transaction_sees_its_own_writes(self, backend: Database) -> None:
        with backend.session(), backend.transaction() as transaction:
            transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", (1, 7))
            assert _value(backend) == 7

    def test_others_read_the_state_before_an_open_transaction_without_waiting(
        self, backend: Database, open_client: Callable[[], Database]
    ) -> None:
        other = open_client()
        with backend.session():
            _insert(backend, 1, 7)
            with backend.transaction() as transaction:
                transaction.execute(f"UPDATE {_TABLE} SET value = 8 WHERE id = 1")
                assert _value(other) == 7
        assert _value(other) == 8

    def test_a_transaction_inside_another_one_is_refused(self, backend: Database) -> None:
        with backend.session():
            with backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", (1, 7))
                with pytest.raises(StorageError), backend.transaction():
                    pass
        assert _value(backend) == 7

    def test_sessions_nest(self, backend: Database) -> None:
        with backend.session():
            with backend.session():
                _insert(backend, 1, 7)
            assert _value(backend) == 7

    def test_models_join_the_transaction(self, backend: Database) -> None:
        with backend.session():
            with pytest.raises(ValueError), backend.transaction():
                _Row.create(id=1, value=7)
                raise ValueError
            with backend.transaction() as transaction:
                _Row.create(id=2, value=8)
                rows = transaction.execute(f"SELECT value FROM {_TABLE}").fetchall()
        assert rows == [(8,)]

    def test_atomic_inside_a_transaction_is_a_savepoint(self, backend: Database) -> None:
        with backend.session():
            with backend.transaction():
                _Row.create(id=1, value=1)
                with pytest.raises(ValueError), backend.peewee.atomic():
                    _Row.create(id=2, value=2)
                    raise ValueError
                with backend.peewee.atomic():
                    _Row.create(id=3, value=3)
            assert sorted(row.id for row in _Row.select()) == [1, 3]

    def test_a_rolled_back_transaction_takes_its_savepoints_with_it(
        self, backend: Database
    ) -> None:
        with backend.session():
            with pytest.raises(ValueError), backend.transaction():
                with backend.peewee.atomic():
                    _Row.create(id=1, value=1)
                raise ValueError
            assert _Row.select().count() == 0

    def test_atomic_alone_commits_and_rolls_back(self, backend: Database) -> None:
        with backend.session():
            with backend.peewee.atomic():
                _Row.create(id=1, value=1)
            with pytest.raises(ValueError), backend.peewee.atomic():
                _Row.create(id=2, value=2)
                raise ValueError
            assert [row.id for row in _Row.select()] == [1]

    def test_after_commit_runs_after_the_commit_and_not_after_a_rollback(
        self, backend: Database
    ) -> None:
        called: list[str] = []
        with backend.session():
            with backend.transaction():
                backend.peewee.after_commit(lambda: called.append("committed"))
                assert not called
            with pytest.raises(ValueError), backend.transaction():
                backend.peewee.after_commit(lambda: called.append("rolled back"))
                raise ValueError
        assert called == ["committed"]

    @pytest.mark.parametrize(
        "value",
        ["", "häß 🐍 \u202e עברית", "line\nline\ttab", "100% ? '\"", "x" * 1_000_000],
        ids=["empty", "unicode", "control", "marks", "large"],
    )
    def test_texts_come_back_as_they_went_in(self, backend: Database, value: str) -> None:
        with backend.session():
            with backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id, text) VALUES (1, ?)", (value,))
            assert backend.read(f"SELECT text FROM {_TABLE}") == [(value,)]

    @pytest.mark.parametrize(
        "value", [b"", bytes(range(256)), b"\x00" * 10, b"z" * 1_000_000], ids=len
    )
    def test_bytes_come_back_as_they_went_in(self, backend: Database, value: bytes) -> None:
        with backend.session():
            with backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id, data) VALUES (1, ?)", (value,))
            ((got,),) = backend.read(f"SELECT data FROM {_TABLE}")
        assert bytes(got) == value

    @pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63), None])
    def test_numbers_come_back_as_they_went_in(self, backend: Database, value: int | None) -> None:
        with backend.session():
            with backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id, value) VALUES (1, ?)", (value,))
            assert backend.read(f"SELECT value FROM {_TABLE}") == [(value,)]

    @pytest.mark.parametrize(
        ("column", "wrong"),
        [("text", "a\0b"), ("text", "\ud800"), ("value", 2**63), ("value", -(2**63) - 1)],
        ids=["NUL", "surrogate", "large", "small"],
    )
    def test_a_value_that_it_cannot_store_is_refused_in_every_kind_of_statement(
        self, backend: Database, column: str, wrong: Any
    ) -> None:
        insert = f"INSERT INTO {_TABLE} (id, {column}) VALUES (?, ?)"
        with pytest.raises(ValueRefused), backend.session(), backend.transaction() as transaction:
            transaction.execute(insert, (1, wrong))
        for rows in (1, 100):
            given = [(row, wrong) for row in range(rows)]
            with (
                pytest.raises(ValueRefused),
                backend.session(),
                backend.transaction() as transaction,
            ):
                transaction.executemany(insert, given)
        mark = backend.peewee.param
        for sql in (
            f"INSERT INTO {_TABLE} (id, {column}) VALUES (1, {mark})",
            f"UPDATE {_TABLE} SET {column} = {mark}",
        ):
            with pytest.raises(ValueRefused), backend.session(), backend.transaction():
                _Row.insert(id=0, value=0).execute()
                _Row.raw(sql, wrong).execute()
        if isinstance(wrong, str):
            with pytest.raises(ValueRefused), backend.session():
                backend.read(f"SELECT id FROM {_TABLE} WHERE text = ?", (wrong,))
        with backend.session():
            assert backend.read(f"SELECT count(*) FROM {_TABLE}") == [(0,)]

    def test_marks_in_texts_are_no_parameters(self, backend: Database) -> None:
        with backend.session(), backend.transaction() as transaction:
            row = transaction.execute("SELECT '100%', '?', ?", ("%s",)).fetchone()
            bare = transaction.execute("SELECT '100%', '?'").fetchone()
        assert tuple(row) == ("100%", "?", "%s")
        assert tuple(bare) == ("100%", "?")

    def test_cursors_count_fetch_and_iterate(self, backend: Database) -> None:
        rows = [(number, number * 10) for number in range(1, 6)]
        with backend.session(), backend.transaction() as transaction:
            transaction.executemany(f"INSERT INTO {_TABLE} (id, value) VALUES (?, ?)", rows)
            changed = transaction.execute(f"UPDATE {_TABLE} SET value = 0 WHERE id > ?", (3,))
            assert changed.rowcount == 2
            cursor = transaction.execute(f"SELECT id FROM {_TABLE} ORDER BY id")
            assert cursor.fetchone() == (1,)
            assert list(cursor) == [(2,), (3,), (4,), (5,)]
            assert cursor.fetchone() is None

    def test_threads_that_increment_lose_nothing(self, backend: Database) -> None:
        with backend.session():
            _insert(backend, 1, 0)
        in_threads(_THREADS, lambda _: _increment(backend, _TIMES))
        assert _value(backend) == _THREADS * _TIMES

    def test_processes_that_increment_lose_nothing(
        self, backend: Database, make_backend: Callable[[], Database]
    ) -> None:
        with backend.session():
            _insert(backend, 1, 0)
        with process(_increments, make_backend) as one, process(_increments, make_backend) as two:
            _increment(backend, _TIMES)
            one.finish()
            two.finish()
        assert _value(backend) == 3 * _TIMES

    def test_a_killed_process_leaves_no_rows_and_no_locks(
        self, backend: Database, make_backend: Callable[[], Database]
    ) -> None:
        with backend.session():
            _insert(backend, 1, 0)
        with process(_stuck_writer, make_backend) as child:
            assert child.receive() == "inside"
            child.kill()
        _increment(backend)
        assert _value(backend) == 1

    def test_the_migration_lock_lets_one_in_at_a_time(
        self, backend: Database, open_client: Callable[[], Database]
    ) -> None:
        clients = [backend, *(open_client() for _ in range(2))]
        inside = threading.Semaphore(1)

        def work(number: int) -> None:
            for _ in range(5):
                with clients[number].session(), clients[number].migration_lock():
                    assert inside.acquire(blocking=False)
                    _insert_next(clients[number])
                    inside.release()

        in_threads(3, work)
        with backend.session():
            assert backend.read(f"SELECT count(*) FROM {_TABLE}") == [(15,)]

    def test_a_new_client_reads_what_a_closed_one_wrote(
        self, backend: Database, open_client: Callable[[], Database]
    ) -> None:
        need(backend, "persistent")
        first = open_client()
        with first.session():
            _insert(first, 1, 7)
        first.close()
        assert _value(open_client()) == 7

    def test_it_answers_and_closes_twice(self, open_client: Callable[[], Database]) -> None:
        database = open_client()
        database.ping()
        database.close()
        database.close()

    def test_closing_unused_is_fine(self, open_client: Callable[[], Database]) -> None:
        open_client().close()

    def test_connections_of_ended_threads_are_closed(self, backend: Database) -> None:
        for _ in range(3):
            in_threads(8, lambda _: backend.ping())
        with backend.session():
            _insert(backend, 1, 7)
        assert _value(backend) == 7


def _insert_next(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.execute(
            f"INSERT INTO {_TABLE} (id) SELECT coalesce(max(id), 0) + 1 FROM {_TABLE}"
        )


def _increments(channel: Connection, make_backend: Callable[[], Database]) -> None:
    database = make_backend()
    _increment(database, _TIMES)
    database.close()
    channel.close()


def _stuck_writer(channel: Connection, make_backend: Callable[[], Database]) -> None:
    database = make_backend()
    with database.session(), database.transaction() as transaction:
        transaction.execute(f"UPDATE {_TABLE} SET value = 1000 WHERE id = 1")
        channel.send("inside")
        channel.poll(PATIENCE)
