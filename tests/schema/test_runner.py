from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from rolehost import schema
from rolehost.storage import Database
from rolehost_testing.conformance.clients import process

from tests.schema.conftest import Write, migration

Set = schema.Set


def _tables(database: Database) -> set[str]:
    with database.session():
        return {t for t in database.peewee.get_tables() if not t.startswith("sqlite_")}


def _definition(database: Database) -> list[tuple[object, ...]]:
    with database.session():
        return database.read(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
            " WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
        )


@pytest.fixture
def sample(write: Write) -> Set:
    package = write(
        n0001_a=migration("CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
        n0002_b=migration("CREATE TABLE b (x INTEGER)", "DROP TABLE b", "-- phase: post"),
        n0003_c=migration("CREATE TABLE c (x INTEGER); CREATE INDEX c_x ON c (x)", "DROP TABLE c"),
    )
    return ("sample", package)


def test_pending_changes_nothing_not_even_an_empty_database(
    database: Database, sample: Set
) -> None:
    assert [m.name for m in schema.pending(database, [sample])] == ["a", "b", "c"]
    assert _tables(database) == set()


def test_up_applies_pending_files_once(database: Database, sample: Set) -> None:
    assert [m.name for m in schema.up(database, [sample])] == ["a", "b", "c"]
    assert schema.up(database, [sample]) == ()
    assert schema.pending(database, [sample]) == ()
    assert _tables(database) == {"a", "b", "c", "rolehost_migrations"}


def test_phases_are_applied_apart(database: Database, sample: Set) -> None:
    assert [m.name for m in schema.up(database, [sample], phase="pre")] == ["a", "c"]
    assert [m.name for m in schema.pending(database, [sample])] == ["b"]
    assert schema.pending(database, [sample], phase="pre") == ()
    assert [m.name for m in schema.up(database, [sample], phase="post")] == ["b"]


def test_files_without_a_transaction_are_applied_and_reverted_too(
    database: Database, write: Write
) -> None:
    text = migration("CREATE TABLE a (x)", "DROP TABLE a", "-- transaction: none")
    package = write(n0001_a=text)
    assert [m.name for m in schema.up(database, [("sample", package)])] == ["a"]
    assert [m.name for m in schema.down(database, ("sample", package))] == ["a"]
    assert _tables(database) == {"rolehost_migrations"}


def test_the_table_records_applied_files_and_their_times(database: Database, sample: Set) -> None:
    (first, *_) = schema.up(database, [sample], now=lambda: 1234.5)
    with database.session():
        rows = database.read("SELECT * FROM rolehost_migrations ORDER BY number")
    assert rows[0] == ("sample", 1, "a", "pre", first.checksum, 1_234_500)
    assert len(rows) == 3


def test_down_reverts_the_last_files_of_one_owner(
    database: Database, sample: Set, write: Write
) -> None:
    other = ("other", write("other_migrations", n0001_z=migration("CREATE TABLE z (x)")))
    schema.up(database, [sample, other])
    assert [m.name for m in schema.down(database, sample)] == ["c"]
    assert _tables(database) == {"a", "b", "z", "rolehost_migrations"}
    assert [m.name for m in schema.down(database, sample, steps=9)] == ["b", "a"]
    assert schema.down(database, sample) == ()
    assert [m.owner for m in schema.pending(database, [sample, other])] == ["sample"] * 3


def test_down_of_a_database_that_was_never_migrated_is_nothing(
    database: Database, sample: Set
) -> None:
    assert schema.down(database, sample) == ()
    with pytest.raises(ValueError):
        schema.down(database, sample, steps=0)


def test_a_failing_migration_leaves_nothing_and_keeps_those_before(
    database: Database, write: Write
) -> None:
    package = write(
        n0001_good=migration("CREATE TABLE good (x)"),
        n0002_bad=migration("CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)"),
    )
    with pytest.raises(schema.SchemaError) as caught:
        schema.up(database, [("sample", package)])
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("migration-failed", f"{package}: 0002_bad.sql")
    assert "nowhere" in problem.got
    assert _tables(database) == {"good", "rolehost_migrations"}
    write(package, n0002_bad=migration("CREATE TABLE whole (x)"))
    assert [m.name for m in schema.up(database, [("sample", package)])] == ["bad"]


def test_a_file_that_was_changed_after_it_was_applied_is_reported(
    database: Database, write: Write
) -> None:
    package = write(n0001_a=migration("CREATE TABLE a (x)"))
    schema.up(database, [("sample", package)])
    write(package, n0001_a=migration("CREATE TABLE a (y)"))
    for run in (schema.up, schema.pending):
        with pytest.raises(schema.SchemaError, match="migration-changed"):
            run(database, [("sample", package)])
    with pytest.raises(schema.SchemaError, match="migration-changed"):
        schema.down(database, ("sample", package))
    assert [line.state for line in schema.status(database, [("sample", package)])] == ["changed"]


def test_status_lists_pending_applied_and_missing_files(
    database: Database, sample: Set, write: Write
) -> None:
    gone = ("gone", write("gone_migrations", n0001_old=migration("CREATE TABLE old (x)")))
    schema.up(database, [gone])
    schema.up(database, [sample], phase="pre")
    lines = schema.status(database, [sample])
    assert [(line.owner, line.name, line.state) for line in lines] == [
        ("sample", "a", "applied"),
        ("sample", "b", "pending"),
        ("sample", "c", "applied"),
        ("gone", "old", "gone"),
    ]


def test_reverting_a_migration_without_a_file_is_refused(
    database: Database, write: Write, tmp_path: Path
) -> None:
    package = write(n0001_a=migration("CREATE TABLE a (x)"))
    schema.up(database, [("sample", package)])
    (tmp_path / "importable" / package / "0001_a.sql").unlink()
    with pytest.raises(schema.SchemaError, match="migration-gone"):
        schema.down(database, ("sample", package))


@pytest.mark.parametrize("own", [schema.HOST_SET, ("embedded", "rolehost_embedded.migrations")])
def test_a_schema_that_was_reverted_and_applied_again_equals_a_fresh_one(
    database: Database, own: Set
) -> None:
    applied = schema.up(database, [own])
    fresh = _definition(database)
    schema.down(database, own, steps=len(applied))
    assert _tables(database) == {"rolehost_migrations"}
    schema.up(database, [own])
    assert _definition(database) == fresh


def migrate(channel: Connection, make: Callable[[], Database], folder: str, owned: Set) -> None:
    import sys

    sys.path.insert(0, folder)
    database = make()
    channel.send("ready")
    channel.recv()
    channel.send([m.name for m in schema.up(database, [owned])])
    database.close()


def test_processes_that_migrate_at_once_do_it_once(
    database: Database, sample: Set, tmp_path: Path
) -> None:
    settings = importlib.import_module("rolehost_embedded.settings")
    make = partial(type(database), settings.EmbeddedSettings(path=tmp_path / "service.db"))
    arguments = (migrate, make, str(tmp_path / "importable"), sample)
    with process(*arguments) as one, process(*arguments) as two:
        for child in (one, two):
            assert child.receive() == "ready"
        for child in (one, two):
            child.send("go")
        assert sorted([one.receive(), two.receive()]) == [[], ["a", "b", "c"]]


def test_new_writes_the_next_file_to_be_filled_in(write: Write) -> None:
    package = write(n0001_a=migration("CREATE TABLE a (x)"))
    (file,) = schema.new(package, "Add the Owner's column!")
    assert file.name == "0002_add_the_owner_s_column.sql"
    with pytest.raises(schema.SchemaError, match="migration-content"):
        schema.load([("sample", package)], "sqlite")
    files = schema.new(package, "more", dialects=("sqlite", "postgresql"), phase="post")
    assert [path.name for path in files] == ["0003_more.sqlite.sql", "0003_more.postgresql.sql"]
    assert "-- phase: post" in files[0].read_text()


def test_new_reports_an_error_in_one_line(write: Write) -> None:
    from rolehost.errors import StartError

    with pytest.raises(StartError, match="name the change"):
        schema.new(write(), "?!")
    with pytest.raises(StartError, match="cannot be imported"):
        schema.new("no_such_package_anywhere", "x")
