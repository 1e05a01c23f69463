"""Diagnoses the address of Redis after a connection failed."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Literal

#: Seconds for each of the two attempts.
TIMEOUT = 1.0

#: The protocol of the port: Redis without TLS, any with TLS, or neither.
Protocol = Literal["plain", "tls", "neither"]


def probe_protocol(host: str, port: int) -> Protocol:
    """Return whether a port speaks Redis or TLS; sends no secret.

    A server that gets the wrong protocol is silent or closes the connection, without a reason.
    """
    with contextlib.suppress(OSError), _connect(host, port) as connection:
        # An inline command (https://redis.io/docs/latest/develop/reference/protocol-spec/); a
        # server that wants a password refuses it, with an error in the same protocol.
        connection.sendall(b"PING\r\n")
        if connection.recv(64).startswith((b"+PONG\r\n", b"-NOAUTH", b"-ERR", b"-LOADING")):
            return "plain"
    with (
        contextlib.suppress(OSError),
        _connect(host, port) as connection,
        _unverified_context().wrap_socket(connection),
    ):
        return "tls"
    return "neither"


def certificate_alert(
    host: str, port: int, certificate: str | None, key: str | None, password: str | None
) -> str:
    """Return the TLS alert with which a port refuses a client; "" for none.

    In TLS 1.3 the handshake ends before the server judges the certificate. If the client writes
    in the meantime, the alert may be lost (RFC 8446, 6.2). So this client only reads.

    Args:
        host: of the server.
        port: of the server.
        certificate: PEM file of the client's certificate; None sends none.
        key: PEM file of the certificate's key; None if ``certificate`` holds the key.
        password: password of the key.
    """
    context = _unverified_context()
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key, password)
        with _connect(host, port) as connection, context.wrap_socket(connection) as secured:
            secured.recv(1)
    except ssl.SSLError as error:
        return error.reason if error.reason and "ALERT" in error.reason else ""
    except OSError:
        pass
    return ""


def _unverified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _connect(host: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), TIMEOUT) as connection:
        connection.settimeout(TIMEOUT)
        yield connection
