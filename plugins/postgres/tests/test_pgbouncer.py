"""PgBouncer: pools by session work, pools by transaction or statement are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg2
import pytest
from rolehost.api import Secret, StorageRefused, StorageUnavailable
from rolehost_postgres import pooler
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings

StartServer = Callable[..., Any]

#: Settings of pools that keep no session. The pool with one session gives it to every client; the
#: other takes its sessions in turn.
MIXED = [
    {"pool_mode": "transaction"},
    {"pool_mode": "transaction", "default_pool_size": 1},
    {"pool_mode": "transaction", "server_round_robin": 1, "min_pool_size": 2},
    {"pool_mode": "statement"},
]


def settings_of(url: str) -> PostgresSettings:
    return PostgresSettings(url=Secret(url), connect_timeout=2, lock_timeout=3.0)


@pytest.fixture
def pool(postgres_url: str, start_server: StartServer) -> Callable[..., Any]:
    """A function that starts PgBouncer in front of the server, with these parameters."""

    def start(**parameters: object) -> Any:
        return start_server("pgbouncer", server=postgres_url, parameters=parameters)

    return start


@pytest.fixture
def backends() -> Iterator[Callable[[str], tuple[PostgresDatabase, PostgresQueue]]]:
    """A function that opens database and queue of a URL."""
    with ExitStack() as stack:

        def open_both(url: str) -> tuple[PostgresDatabase, PostgresQueue]:
            both = PostgresDatabase(settings_of(url)), PostgresQueue(settings_of(url))
            for each in both:
                stack.callback(each.close)
            return both

        yield open_both


@pytest.mark.parametrize("parameters", MIXED, ids=lambda given: "-".join(map(str, given.values())))
def test_a_pool_that_keeps_no_session_is_refused_with_its_fix(
    pool: Any, backends: Any, parameters: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler, "_NOTIFIED", 0.5)
    for backend in backends(pool(**parameters).url):
        with pytest.raises(StorageRefused) as refused:
            backend.ping()
        assert "expected a session for each connection" in str(refused.value)
        assert "see [postgres] url: " in str(refused.value)
        assert "pool_mode = session" in str(refused.value)


def test_a_refused_pool_has_the_settings_of_its_sessions_still(
    pool: Any, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler, "_NOTIFIED", 0.2)
    mixed = pool(pool_mode="transaction", default_pool_size=1)
    database, _ = backends(mixed.url)
    with pytest.raises(StorageRefused):
        database.ping()
    with psycopg2.connect(mixed.url) as other, other.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_a_pool_by_session_keeps_limits_wake_ups_and_the_lock_of_migrations(
    pool: Any, backends: Any
) -> None:
    url = pool(pool_mode="session").url
    database, queue = backends(url)
    with database.session():
        assert database.read("SHOW lock_timeout") == [("3s",)]
    listener = queue.listen(["queue:default"])
    queue.wake(["queue:default"])
    assert listener.wait(10.0)
    other, _ = backends(url)
    entered = threading.Event()

    def migrate() -> None:
        with other.migration_lock():
            entered.set()

    waiting = threading.Thread(target=migrate)
    with database.migration_lock():
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(10.0)
    waiting.join()


def test_a_pool_by_session_is_tested_once_by_each_process(
    pool: Any, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = backends(pool(pool_mode="session").url)
    database.ping()
    monkeypatch.setattr(pooler, "_NOTIFIED", 0.0)  # a second test would fail
    with database.migration_lock():
        pass


def test_a_pool_without_a_free_session_is_unavailable(
    pool: Any, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pools by session need one for each connection; the test needs two.
    monkeypatch.setattr(pooler, "_ANSWERED", 0.5)
    database, _ = backends(pool(pool_mode="session", default_pool_size=1).url)
    with pytest.raises(StorageUnavailable) as away:
        database.ping()
    assert not isinstance(away.value, StorageRefused)


def test_a_parameter_that_the_pooler_refuses_is_refused_with_its_fix(
    pool: Any, backends: Any
) -> None:
    for backend in backends(f"{pool().url}?options=-csearch_path%3Dother"):
        with pytest.raises(StorageRefused, match="ignore_startup_parameters"):
            backend.ping()


def test_a_server_is_not_taken_for_a_pooler(
    postgres_url: str, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler, "_NOTIFIED", 0.0)  # the test of a pooler would fail
    for backend in backends(postgres_url):
        backend.ping()
