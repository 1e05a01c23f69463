from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator

import pytest
from rolehost_memcached.settings import MemcachedSettings


@pytest.fixture
def settings() -> MemcachedSettings:
    """Of a server to test with; every test has a namespace of its own."""
    url = os.environ.get("ROLEHOST_TEST_MEMCACHED_URL")
    if not url:
        pytest.skip("no memcached: set ROLEHOST_TEST_MEMCACHED_URL=memcached://HOST:PORT")
    return MemcachedSettings(
        servers=(url.removeprefix("memcached://").rstrip("/"),),
        namespace=f"test-{secrets.token_hex(6)}",
        clear_within=0.0,
    )


@pytest.fixture
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """Accept connections and never answer; tell the address, and when somebody spoke."""
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
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
