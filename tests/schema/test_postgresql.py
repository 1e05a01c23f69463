from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest
from rolehost import schema
from rolehost.api import Secret, StorageBusy
from rolehost.storage import Database

from tests.schema.conftest import Write, migration


@pytest.fixture
def databases(postgres_url: str) -> Iterator[tuple[Database, Database]]:
    """Two processes' view of one schema, gone after the test."""
    backend = pytest.importorskip("rolehost_postgres.database").PostgresDatabase
    settings = pytest.importorskip("rolehost_postgres.settings").PostgresSettings
    name = f"test_{uuid.uuid4().hex}"
    option = f"options=-csearch_path%3D{name}"
    own = f"{postgres_url}{'&' if '?' in postgres_url else '?'}{option}"
    one, two = backend(settings(url=Secret(own))), backend(settings(url=Secret(own)))
    with one.transaction() as tx:
        tx.execute(f"CREATE SCHEMA {name}")
    yield one, two
    with one.transaction() as tx:
        tx.execute(f"DROP SCHEMA {name} CASCADE")
    one.close()
    two.close()


def test_a_migration_that_waits_for_others_lets_them_go_first_and_tries_again(
    databases: tuple[Database, Database], write: Write
) -> None:
    database, service = databases
    package = write(n0001_a=migration("CREATE TABLE a (x INTEGER)", "DROP TABLE a"))
    schema.up(database, [("sample", package)])
    write(package, n0002_b=migration("ALTER TABLE a ADD COLUMN y INTEGER"))
    pauses: list[float] = []
    reading = service.transaction()
    reading.__enter__().execute("SELECT * FROM a")

    def others_end(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            reading.__exit__(None, None, None)

    applied = schema.up(database, [("sample", package)], pause=others_end)
    assert [m.name for m in applied] == ["b"]
    assert pauses == [0.25, 0.5]


def test_a_migration_whose_way_is_never_free_is_named(
    databases: tuple[Database, Database], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolehost.schema.runner._TRIES", 1)
    database, service = databases
    package = write(n0001_a=migration("CREATE TABLE a (x INTEGER)"))
    schema.up(database, [("sample", package)])
    write(package, n0002_b=migration("ALTER TABLE a ADD COLUMN y INTEGER"))
    with service.transaction() as reading:
        reading.execute("SELECT * FROM a")
        with pytest.raises(StorageBusy, match="sample/0002_b"):
            schema.up(database, [("sample", package)])
    assert [m.name for m in schema.pending(database, [("sample", package)])] == ["b"]


def test_an_index_is_made_beside_the_service_while_another_process_waits_to_migrate(
    databases: tuple[Database, Database], write: Write
) -> None:
    database, other = databases
    package = write(
        n0001_a=migration("CREATE TABLE a (x INTEGER)"),
        n0002_b=migration(
            "DROP INDEX CONCURRENTLY IF EXISTS a_x; CREATE INDEX CONCURRENTLY a_x ON a (x)",
            "DROP INDEX CONCURRENTLY a_x",
            "-- phase: post\n-- transaction: none",
        ),
    )
    found: list[list[str]] = []

    def migrate() -> None:
        found.append([m.name for m in schema.up(other, [("sample", package)])])

    waiting = threading.Thread(target=migrate)
    with database.migration_lock():
        waiting.start()
        with database.session():
            database.migration_statement("CREATE TABLE z (x INTEGER)")
            database.migration_statement("CREATE INDEX CONCURRENTLY z_x ON z (x)")
    waiting.join()
    assert found == [["a", "b"]]
    assert [m.name for m in schema.down(database, ("sample", package))] == ["b"]
