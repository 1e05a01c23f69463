"""A look at what answers where Redis should be, after a connection failed."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Literal

#: Seconds for each of the two attempts.
PATIENCE = 1.0

#: What speaks there: Redis without TLS, something with TLS, or neither.
Spoken = Literal["plain", "tls", "neither"]


def look(host: str, port: int) -> Spoken:
    """Ask a port which language it speaks; sends no secret.

    A server that is asked in the wrong one is silent, or hangs up, and says nothing of it.
    """
    with contextlib.suppress(OSError), _connected(host, port) as connection:
        # An inline command (https://redis.io/docs/latest/develop/reference/protocol-spec/); a
        # server that wants a password refuses it, with an error in the same language.
        connection.sendall(b"PING\r\n")
        if connection.recv(64).startswith((b"+PONG\r\n", b"-NOAUTH", b"-ERR", b"-LOADING")):
            return "plain"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        _connected(host, port) as connection,
        context.wrap_socket(connection),
    ):
        return "tls"
    return "neither"


@contextlib.contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        yield connection
