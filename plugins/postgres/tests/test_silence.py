"""Connections that become silent without a reset, and transactions that a client leaves open."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import peewee
import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from rolehost.api import Secret, StorageUnavailable
from rolehost_postgres import pool, queue, silence
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.server import Server
from rolehost_postgres.settings import PostgresSettings
from rolehost_postgres.wire import Connection


class Proxy:
    """Passes bytes between clients and a server, until it forgets the connections that it has."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._sockets: list[socket.socket] = []
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Be silent on all connections; new ones work."""
        with self._guard:
            for each in self._sockets:
                if each.fileno() in self._selector.get_map():
                    self._selector.unregister(each)

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        for each in (*self._sockets, self._listener, self._stopped, self._selector):
            each.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(0.1):
                if key.fileobj is self._stopped:
                    return
                with self._guard:
                    self._step(key)

    def _step(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            self._selector.register(client, selectors.EVENT_READ, server)
            self._selector.register(server, selectors.EVENT_READ, client)
        elif key.fd in self._selector.get_map():
            data = key.fileobj.recv(65536)
            if data:
                key.data.sendall(data)
            else:
                self._selector.unregister(key.fileobj)
                key.data.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(parts: dict[str, str]) -> Iterator[Proxy]:
    proxy = Proxy(parts["host"], int(parts["port"]))
    yield proxy
    proxy.close()


@pytest.fixture
def behind(proxy: Proxy, settings: PostgresSettings) -> PostgresSettings:
    """Settings of a client behind the proxy that waits for no answer longer than 0.5 s."""
    assert settings.url is not None
    dsn = make_dsn(**{**parse_dsn(settings.url.reveal()), "port": str(proxy.port)})
    return msgspec.structs.replace(
        settings, url=Secret(dsn), answer_timeout=0.5, idle_in_transaction_timeout=1.0
    )


@pytest.fixture
def database(behind: PostgresSettings) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(behind)
    yield database
    database.close()


def pid(database: PostgresDatabase) -> int:
    return int(database.read("SELECT pg_backend_pid()")[0][0])


def test_a_statement_on_a_silent_connection_fails_in_time_and_the_next_one_works(
    database: PostgresDatabase, proxy: Proxy
) -> None:
    with database.session():
        before = pid(database)
        proxy.forget()
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            database.read("SELECT 1")
        assert time.monotonic() - began < 5
        assert pid(database) != before


def test_a_silent_connection_is_found_early_because_the_server_is_asked(
    behind: PostgresSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SUSPECT", 0.2)
    database = PostgresDatabase(
        msgspec.structs.replace(behind, answer_timeout=None, statement_timeout=0.0)
    )
    with database.session():
        before = pid(database)
        proxy.forget()
        with pytest.raises(StorageUnavailable):
            database.read("SELECT 1")
        assert pid(database) != before
    database.close()


def test_a_transaction_that_the_server_keeps_open_on_a_silent_connection_is_given_up(
    behind: PostgresSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SUSPECT", 0.2)
    database = PostgresDatabase(msgspec.structs.replace(behind, answer_timeout=None))
    with pytest.raises(StorageUnavailable), database.transaction() as tx:
        tx.execute("CREATE TABLE things (x INTEGER)")
        proxy.forget()
        tx.execute("INSERT INTO things VALUES (1)")
    database.close()


def test_a_connection_that_falls_silent_while_it_is_opened_is_given_up(
    behind: PostgresSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Server._prepare

    def silent(server: Server, opened: Connection) -> Any:
        proxy.forget()
        return prepare(server, opened)

    monkeypatch.setattr(Server, "_prepare", silent)
    settings = msgspec.structs.replace(behind, answer_timeout=None, connect_timeout=2)
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        Server(settings, "test").connect()
    assert time.monotonic() - began < 5


def test_a_statement_on_which_the_server_works_is_left_alone(
    behind: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SUSPECT", 0.2)
    asked: list[set[int]] = []
    busy = Server.busy
    monkeypatch.setattr(Server, "busy", lambda *given: asked.append(busy(*given)) or asked[-1])
    database = PostgresDatabase(msgspec.structs.replace(behind, answer_timeout=None))
    with database.session():
        own = pid(database)
        database.read("SELECT pg_sleep(2)")
        assert pid(database) == own
    assert asked and all(each == {own} for each in asked)
    database.close()


def test_answer_timeout_0_waits_for_ever(
    behind: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SUSPECT", 0.2)
    monkeypatch.setattr(Server, "busy", lambda *_: set())
    database = PostgresDatabase(msgspec.structs.replace(behind, answer_timeout=0.0))
    with database.session():
        database.read("SELECT pg_sleep(1.5)")
    database.close()


@pytest.mark.parametrize("ends", ["commit", "conclude", "copy"])
def test_no_end_of_a_transaction_waits_for_ever(
    database: PostgresDatabase, proxy: Proxy, ends: str
) -> None:
    with database.transaction() as tx:
        tx.execute("CREATE TABLE things (x INTEGER)")
    with pytest.raises(StorageUnavailable), database.transaction() as tx:
        tx.execute("INSERT INTO things VALUES (1)")
        proxy.forget()
        if ends == "conclude":
            tx.conclude("UPDATE things SET x = ?", (2,))
        if ends == "copy":
            tx.executemany("INSERT INTO things (x) VALUES (?)", [(n,) for n in range(100)])
    with database.session():
        assert database.read("SELECT * FROM things") == []


def test_connections_that_were_unused_when_one_fell_silent_are_replaced(
    database: PostgresDatabase, proxy: Proxy
) -> None:
    both = threading.Barrier(2)

    def use() -> None:
        with database.session():
            database.read("SELECT 1")
            both.wait()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    proxy.forget()
    with database.session(), pytest.raises(StorageUnavailable):
        database.read("SELECT 1")
    began = time.monotonic()
    database.ping()
    assert time.monotonic() - began < 0.5


def test_a_silent_connection_is_found_by_its_test_before_it_is_used(
    behind: PostgresSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CHECK_TIMEOUT", 0.5)
    database = PostgresDatabase(
        msgspec.structs.replace(behind, answer_timeout=0.0, check_idle=1e-9)
    )
    database.ping()
    proxy.forget()
    database.ping()
    database.close()


def test_a_statement_that_works_on_for_long_is_left_alone_without_a_time_limit(
    behind: PostgresSettings,
) -> None:
    database = PostgresDatabase(behind)
    with database.migration_lock():
        database.migration_statement("SELECT pg_sleep(1.5)")
        with database.session(), database.migration_transaction() as tx:
            tx.execute("SELECT pg_sleep(1.5)")
    database.close()


def test_a_listener_whose_connection_is_silent_is_woken_on_a_new_one(
    behind: PostgresSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_ANSWER_TIMEOUT", 0.5)
    waking = PostgresQueue(msgspec.structs.replace(behind, check_idle=0.1))
    listener = waking.listen(["queue:a"])
    proxy.forget()
    assert listener.wait(30.0) == {"queue:a"}, "it may have missed wake-ups"
    waking.wake(["queue:a"])
    assert listener.wait(30.0) == {"queue:a"}
    waking.close()


def test_the_server_notices_lost_clients_and_ends_idle_transactions(
    settings: PostgresSettings,
) -> None:
    database = PostgresDatabase(settings)
    with database.session():
        shown: dict[str, Any] = dict(database.read("SELECT name, setting FROM pg_settings"))
    database.close()
    assert shown["idle_in_transaction_session_timeout"] == "60000"
    assert [shown[f"tcp_keepalives_{part}"] for part in ("idle", "interval", "count")] == [
        "5",
        "3",
        "3",
    ]
    assert shown["tcp_user_timeout"] == "15000"


def test_a_transaction_that_is_idle_for_too_long_is_at_fault_itself(
    settings: PostgresSettings,
) -> None:
    database = PostgresDatabase(msgspec.structs.replace(settings, idle_in_transaction_timeout=0.05))
    with database.session():
        with (
            pytest.raises(peewee.OperationalError, match="idle_in_transaction_timeout"),
            database.transaction() as tx,
        ):
            tx.execute("SELECT 1")
            connection = database.peewee.driver()
            while not connection.abandoned:
                time.sleep(0.05)
            tx.execute("SELECT 1")
        assert database.read("SELECT 1") == [(1,)]
    database.close()
