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
    with (
        contextlib.suppress(OSError),
        _connected(host, port) as connection,
        _trusting().wrap_socket(connection),
    ):
        return "tls"
    return "neither"


def complaint(
    host: str, port: int, certificate: str | None, key: str | None, password: str | None
) -> str:
    """Ask a port that speaks TLS what it has against a client; its alert, "" for none.

    In TLS 1.3 the handshake is over before a server says what it thinks of the certificate, and
    who has written meanwhile may lose its word (RFC 8446, 6.2); so this one only listens.

    Args:
        host: of the server.
        port: of the server.
        certificate: PEM file that the client shows; None shows none.
        key: PEM file of its key; None when ``certificate`` holds it.
        password: what the key is encrypted with.
    """
    context = _trusting()
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key, password)
        with _connected(host, port) as connection, context.wrap_socket(connection) as secured:
            secured.recv(1)
    except ssl.SSLError as error:
        return error.reason if error.reason and "ALERT" in error.reason else ""
    except OSError:
        pass
    return ""


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        yield connection
