"""The error if a process cannot connect: one line that names backend and setting."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator

import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from rolehost.api import Secret, StorageRefused, StorageUnavailable
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings

SECRET = "hunter2"


def told(kind: type[StorageUnavailable], dsn: str, **more: object) -> str:
    """Return what database and queue are refused with, the same for both."""
    settings = PostgresSettings(url=Secret(dsn), connect_timeout=2, **more)  # type: ignore[arg-type]
    texts = []
    for backend in (PostgresDatabase(settings), PostgresQueue(settings)):
        with pytest.raises(kind) as raised:
            backend.ping()
        assert type(raised.value) is kind
        assert raised.value.backend == "postgres"
        assert (raised.value.setting or "").startswith("[postgres] ")
        assert str(raised.value.setting) in str(raised.value)
        texts.append(str(raised.value))
        backend.close()
    assert texts[0] == texts[1]
    assert "\n" not in texts[0]
    assert SECRET not in texts[0]
    assert texts[0].startswith("postgres: ")
    return texts[0]


@pytest.fixture
def nobody() -> Iterator[int]:
    """An unused port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_nothing_there(nobody: int) -> None:
    text = told(StorageUnavailable, f"postgresql://me:{SECRET}@127.0.0.1:{nobody}/name")
    assert f"127.0.0.1:{nobody}" in text
    assert "connection refused" in text
    assert "[postgres] url" in text


def test_no_such_host() -> None:
    text = told(StorageUnavailable, f"postgresql://me:{SECRET}@nowhere.invalid/name")
    assert "no such host" in text


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = told(StorageUnavailable, f"postgresql://me:{SECRET}@127.0.0.1:{port}/name")
    assert "no answer in time" in text


def test_a_server_without_tls_where_tls_is_wanted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def refuse() -> None:
            for _ in range(2):
                client, _ = plain.accept()
                with client:
                    client.recv(8)  # an SSLRequest; N is the answer of a server without TLS
                    client.sendall(b"N")

        thread = threading.Thread(target=refuse)
        thread.start()
        port = plain.getsockname()[1]
        dsn = f"postgresql://me:{SECRET}@127.0.0.1:{port}/name"
        text = told(StorageRefused, dsn, sslmode="require")
        thread.join()
    assert "TLS is set, but the server does not speak it" in text
    assert "[postgres] sslmode" in text


def test_a_wrong_user_or_password(url: str) -> None:
    dsn = make_dsn(url, user="nobody_of_that_name", password=SECRET)
    assert re.search("wrong user or password|no such user", told(StorageRefused, dsn))


def test_no_such_database(url: str) -> None:
    text = told(StorageRefused, make_dsn(url, dbname="no_such_database"))
    assert "'no_such_database'" in text
    assert "no such database" in text


def test_what_is_no_postgresql() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            for _ in range(2):
                client, _ = other.accept()
                with client:
                    client.recv(8)
                    client.sendall(b"-ERR unknown command\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        port = other.getsockname()[1]
        text = told(StorageRefused, f"postgresql://me:{SECRET}@127.0.0.1:{port}/name")
        thread.join()
    assert "not PostgreSQL" in text


def test_of_two_hosts_one_is_away_and_one_refuses(url: str, nobody: int) -> None:
    hosts = f"127.0.0.1,{parse_dsn(url)['host']}"
    ports = f"{nobody},{parse_dsn(url).get('port', '5432')}"
    dsn = make_dsn(url, host=hosts, port=ports, dbname="no_such_database")
    assert "connection refused" in told(StorageUnavailable, dsn)
