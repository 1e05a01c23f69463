"""Questions to engines without their client libraries, which the host's tests do not need."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable

from rolehost_testing.services import Server
from rolehost_testing.services.postgres import binaries

PATIENCE = 60.0


def redis(server: Server, *words: str, timeout: float = 5.0) -> bytes:
    """Ask a Redis; return the beginning of its answer."""
    request = "".join([f"*{len(words)}\r\n", *(f"${len(each)}\r\n{each}\r\n" for each in words)])
    with socket.create_connection(("127.0.0.1", server.port), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(request.encode())
        return connection.recv(4096)


def sql(server: Server, statement: str, **environment: str) -> str:
    """Run a statement with psql; return its output.

    Raises:
        CalledProcessError: it failed.
    """
    return psql(server.url, statement, **environment)


def psql(url: str, statement: str, **environment: str) -> str:
    command = [binaries() / "psql", "-X", "-A", "-t", "-c", statement, url]
    env = {"LC_ALL": "C", "HOME": "/", **environment}
    return subprocess.run(
        command, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def until(done: Callable[[], object]) -> None:
    """Return when something holds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)
