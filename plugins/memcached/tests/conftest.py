from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator

import pytest
from rolehost_memcached.settings import MemcachedSettings


@pytest.fixture
def settings(memcached_url: str) -> MemcachedSettings:
    """Settings of a test server; every test has a separate namespace."""
    return MemcachedSettings(
        servers=(memcached_url.removeprefix("memcached://").rstrip("/"),),
        namespace=f"test-{secrets.token_hex(6)}",
        clear_within=0.0,
    )


@pytest.fixture
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """Accept connections and never answer; give the address, and an event for the first bytes."""
    heard = threading.Event()
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            accepted.append(connection)
            connection.recv(1)
            heard.set()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", heard
        thread.join()
    for connection in accepted:
        connection.close()


@pytest.fixture
def closed_port() -> str:
    """Return an unused address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
