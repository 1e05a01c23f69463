"""Finds out what answers at the addresses of brokers, after a client could not use them.

The errors of the clients have few details, and differ. These tests work for both. A password is
sent only as a client would send it: to a broker that asks for it, and encrypted if the settings
say so.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import NamedTuple

from rolehost_kafka.logins import try_login
from rolehost_kafka.settings import KafkaSettings

#: Seconds for one server, for each connection that is tried.
PATIENCE = 2.0

#: Requests of the protocol (https://kafka.apache.org/protocol): key, oldest version of each.
_API_VERSIONS, _METADATA, _INIT_PRODUCER_ID = 18, 3, 22

#: The version of InitProducerId that came with Kafka 2.5.
_NEEDED = 3

#: Alerts of a server that asks for client certificates. Without one, Java's servers send the
#: second, others the first (RFC 8446, 6.2). The third is for an unknown one.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")

#: An answer to ApiVersions has some hundred bytes; longer bytes are not an answer.
_LONGEST = 65_536


class Found(NamedTuple):
    """The result for one server.

    Attributes:
        words: problem and fix; empty if no problem was found.
        setting: the setting to check, without its section.
        lasting: whether waiting cannot help.
        old: whether the broker is too old.
    """

    words: str
    setting: str
    lasting: bool
    old: bool = False


def look(settings: KafkaSettings, server: str) -> Found:
    """Return the problem of a server of the settings."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        host, port = server, "9092"
    address = (host.strip("[]"), int(port))
    try:
        if settings.tls:
            return _look_encrypted(settings, address)
        return _look_plain(settings, address)
    except socket.gaierror:
        return Found("no such host, or not yet", "servers", False)
    except TimeoutError:
        return Found("no answer; another port, or a broker that starts?", "servers", False)
    except OSError as error:
        return Found((error.strerror or str(error)).lower(), "servers", False)


def _look_plain(settings: KafkaSettings, address: tuple[str, int]) -> Found:
    with _connected(address) as connection:
        versions = _versions(connection)
        if versions is not None:
            return _judged(settings, connection, versions)
    if _speaks_tls(address):
        return Found("it speaks TLS only; set tls = true", "tls", True)
    return _NO_KAFKA


def _look_encrypted(settings: KafkaSettings, address: tuple[str, int]) -> Found:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        context.check_hostname = settings.tls_verify_hostname
        if settings.tls_certificate is not None:
            password = settings.tls_key_password
            context.load_cert_chain(
                settings.tls_certificate,
                settings.tls_key,
                lambda: "" if password is None else password.reveal(),
            )
        with (
            _connected(address) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as connection,
        ):
            versions = _versions(connection)
            return _NO_KAFKA if versions is None else _judged(settings, connection, versions)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        return Found(
            f"its certificate is not trusted ({why}); name the authority that signed it",
            "tls_ca",
            True,
        )
    except ssl.SSLError as error:
        if any(alert in (error.reason or "") for alert in _WANTS_CERTIFICATE):
            words = "it wants a certificate of the client"
            if settings.tls_certificate is not None:
                words += " that an authority of its own signed"
            return Found(words, "tls_certificate", True)
        return _without_tls(address, error)
    except ConnectionError as error:
        return _without_tls(address, error)


def _without_tls(address: tuple[str, int], error: OSError) -> Found:
    with _connected(address) as connection:
        if _versions(connection) is not None:
            return Found("TLS refused: it does not speak TLS; set tls = false", "tls", True)
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return Found(f"TLS refused ({why}); is it a broker that answers there?", "tls", True)


def _judged(settings: KafkaSettings, connection: socket.socket, versions: dict[int, int]) -> Found:
    """Return the problem of a server that speaks Kafka's protocol."""
    if versions.get(_INIT_PRODUCER_ID, -1) < _NEEDED:
        words = "the broker is too old: expected Kafka 2.5 or newer, got an older one"
        return Found(words, "servers", True, old=True)
    if settings.sasl_mechanism:
        return _judged_login(settings, connection)
    if _asked(connection, _METADATA, b"\0\0\0\0") is None:
        return Found("it wants a login; set sasl_mechanism", "sasl_mechanism", True)
    return Found("", "servers", False)


def _judged_login(settings: KafkaSettings, connection: socket.socket) -> Found:
    def ask(request: int, version: int, content: bytes) -> bytes | None:
        return _asked(connection, request, content, version)

    name, mechanism = settings.sasl_username, settings.sasl_mechanism
    login = try_login(settings, ask)
    if login == "refused":
        words = f'it refuses the login of "{name}" with {mechanism}; correct name and password'
        return Found(words, "sasl_username, sasl_password", True)
    if login == "not offered":
        words = f"it does not offer {mechanism} at that port; choose another, or none"
        return Found(words, "sasl_mechanism", True)
    if login == "unknown":
        words = f'it offers {mechanism}; does it know "{name}" and its password?'
        return Found(words, "sasl_username, sasl_password", False)
    return Found("", "servers", False)


_NO_KAFKA = Found("connects, but does not answer as Kafka does; another port?", "servers", True)


def _versions(connection: socket.socket) -> dict[int, int] | None:
    """Return the newest version of each request of a broker; None if it is not a broker.

    Raises:
        TimeoutError: no answer, for example because the broker is starting.
    """
    body = _asked(connection, _API_VERSIONS, b"")
    if body is None or len(body) < 6:
        return None
    (count,) = struct.unpack_from(">i", body, 2)
    if count < 0 or len(body) < 6 + 6 * count:
        return None
    triples = struct.iter_unpack(">hhh", body[6 : 6 + 6 * count])
    return {key: newest for key, _, newest in triples}


def _asked(
    connection: socket.socket, request: int, content: bytes, version: int = 0
) -> bytes | None:
    """Send a request; return the body of the answer, or None if it is not an answer of Kafka."""
    asked = struct.pack(">hhih", request, version, 1, -1) + content
    try:
        connection.sendall(struct.pack(">i", len(asked)) + asked)
        head = _received(connection, 8)
        if head is None:
            return None
        length, correlation = struct.unpack(">ii", head)
        if correlation != 1 or not 4 <= length <= _LONGEST:
            return None
        return _received(connection, length - 4)
    except ConnectionError:
        return None


def _received(connection: socket.socket, length: int) -> bytes | None:
    """Return so many bytes, or None if the other side closed the connection before."""
    data = b""
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def _speaks_tls(address: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        _connected(address) as connection,
        context.wrap_socket(connection),
    ):
        return True
    return False


@contextlib.contextmanager
def _connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        yield connection
