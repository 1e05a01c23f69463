"""Servers that restart, fail over, follow and speak TLS: each test has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rolehost.api import Secret, StorageRefused, StorageUnavailable
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings
from rolehost_testing.services import certificates

StartServer = Callable[..., Any]


def pid(database: PostgresDatabase) -> int:
    return int(database.read("SELECT pg_backend_pid()")[0][0])


@pytest.fixture(scope="module")
def pair(start_module_server: StartServer) -> Any:
    """A primary with a standby."""
    return start_module_server("postgres", standby=True)


@pytest.fixture(scope="module")
def guarded(start_module_server: StartServer) -> Any:
    """A server that speaks TLS alone and wants a password."""
    return start_module_server("postgres", tls=True, password="s3cret")


@pytest.fixture
def opened() -> Iterator[Callable[..., PostgresDatabase]]:
    made: list[PostgresDatabase] = []

    def open_database(url: str, **settings: Any) -> PostgresDatabase:
        made.append(PostgresDatabase(PostgresSettings(url=Secret(url), **settings)))
        return made[-1]

    yield open_database
    for database in made:
        database.close()


def test_a_replica_is_told_by_name_before_anything_is_claimed(pair: Any, opened: Any) -> None:
    # It is away and not wrong: a standby may be the next primary.
    database = opened(pair.standby.url)
    with pytest.raises(StorageUnavailable, match=r"replica.*\[postgres\] url"):
        database.ping()
    with pytest.raises(StorageUnavailable), database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET state = 'claimed'")
    queue = PostgresQueue(PostgresSettings(url=Secret(pair.standby.url)))
    with pytest.raises(StorageUnavailable, match="replica"):
        queue.ping()
    queue.close()


def test_of_several_hosts_the_one_that_takes_writes_is_found(pair: Any, opened: Any) -> None:
    database = opened(_both(pair))
    with database.session():
        assert database.read("SELECT inet_server_port()") == [(pair.port,)]


def test_when_the_standby_takes_over_the_same_process_goes_on(
    start_server: StartServer, opened: Any
) -> None:
    pair = start_server("postgres", standby=True, parameters={"synchronous_standby_names": "*"})
    database = opened(_both(pair))
    with database.transaction() as tx:
        tx.execute("CREATE TABLE kept (x INTEGER)")
        tx.execute("INSERT INTO kept VALUES (7)")
    pair.stop(immediate=True)
    with pytest.raises(StorageUnavailable):
        database.ping()
    with closing(psycopg2.connect(pair.standby.url)) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_promote()")
    with database.session():
        assert database.read("SELECT x, inet_server_port() FROM kept") == [(7, pair.standby.port)]


@pytest.mark.parametrize("immediate", [False, True], ids=["fast", "immediate"])
def test_after_a_restart_unused_connections_are_replaced_and_waiters_are_woken(
    start_server: StartServer, opened: Any, immediate: bool
) -> None:
    server = start_server("postgres")
    database = opened(server.url)
    queue = PostgresQueue(PostgresSettings(url=Secret(server.url)))
    listener = queue.listen(["queue:a"])
    with database.session():
        before = pid(database)
    server.restart(immediate=immediate)
    with database.session():
        assert pid(database) != before
    # Some wake-ups may have been missed, so all are told.
    assert listener.wait(30.0) == {"queue:a"}
    queue.wake(["queue:a"])
    assert listener.wait(30.0) == {"queue:a"}
    queue.close()


def test_what_was_open_at_a_restart_is_undone_and_the_same_thread_goes_on(
    start_server: StartServer, opened: Any
) -> None:
    server = start_server("postgres")
    database = opened(server.url)
    with database.session():
        with database.transaction() as tx:
            tx.execute("CREATE TABLE things (x INTEGER)")
        with pytest.raises(StorageUnavailable), database.transaction() as tx:
            tx.execute("INSERT INTO things VALUES (1)")
            server.restart(immediate=True)
            tx.execute("INSERT INTO things VALUES (2)")
        with database.transaction() as tx:
            tx.execute("INSERT INTO things VALUES (3)")
        assert database.read("SELECT x FROM things") == [(3,)]


def test_tls_is_verified_with_the_settings_of_the_deployment(guarded: Any, opened: Any) -> None:
    database = opened(
        _bare(guarded),
        password=Secret("s3cret"),
        sslmode="verify-full",
        sslrootcert=guarded.authority,
    )
    with database.session():
        shown = database.read("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert shown == [(True,)]


def test_what_is_wrong_with_tls_or_password_is_told_with_its_setting(
    guarded: Any, opened: Any, tmp_path: Path, start_server: StartServer
) -> None:
    stranger = start_server("postgres", tls=True).authority
    right = {"password": Secret("s3cret"), "sslmode": "verify-full"}
    for settings, setting in (
        ({**right, "sslrootcert": stranger}, "sslrootcert"),
        ({**right, "sslrootcert": tmp_path / "missing.pem"}, "sslrootcert"),
        ({**right, "password": Secret("wrong"), "sslrootcert": guarded.authority}, "password"),
        ({"password": Secret("s3cret"), "sslmode": "disable"}, "sslmode|url"),
    ):
        with pytest.raises(StorageRefused, match=rf"\[postgres\] ({setting})") as raised:
            opened(_bare(guarded), **settings).ping()
        assert "s3cret" not in str(raised.value) and "wrong\n" not in str(raised.value)


def test_a_server_that_knows_its_clients_by_their_certificates(
    opened: Any, tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server("postgres", tls=True, client_certificates=True)
    ours, stranger = server.client, certificates.make(tmp_path).client
    opened(f"{server.url}&sslcert={ours.certificate}&sslkey={ours.key}").ping()
    open_key = tmp_path / "open.key"
    open_key.write_bytes(ours.key.read_bytes())
    open_key.chmod(0o644)
    for shown, expected in (
        ("", "the server requires a client certificate"),
        (f"&sslcert={stranger.certificate}&sslkey={stranger.key}", "does not trust the client's"),
        (f"&sslcert={ours.certificate}&sslkey={open_key}", "only its owner may read the file"),
    ):
        with pytest.raises(StorageRefused, match=expected):
            opened(server.url + shown).ping()


def _both(pair: Any) -> str:
    hosts = f"127.0.0.1:{pair.standby.port},127.0.0.1:{pair.port}"
    return f"postgresql://rolehost@{hosts}/rolehost?target_session_attrs=read-write"


def _bare(server: Any) -> str:
    return f"postgresql://rolehost@127.0.0.1:{server.port}/rolehost"
