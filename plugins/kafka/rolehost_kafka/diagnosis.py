"""Diagnoses the addresses of brokers that a client could not use.

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
from rolehost_kafka.settings import KafkaSettings, reveal

#: Seconds for one server, for each connection that is tried.
TIMEOUT = 2.0

#: Keys of requests of the protocol (https://kafka.apache.org/protocol).
_API_VERSIONS, _METADATA, _INIT_PRODUCER_ID = 18, 3, 22

#: The version of InitProducerId that came with Kafka 2.5.
_MIN_INIT_PRODUCER_ID = 3

#: Alerts of a server that asks for client certificates. Without one, Java's servers send the
#: second, others the first (RFC 8446, 6.2). The third is for an unknown certificate.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")

#: An answer to ApiVersions has some hundred bytes; a larger size is not from Kafka.
_MAX_ANSWER = 65_536


class Diagnosis(NamedTuple):
    """The result for one server.

    Attributes:
        problem: problem and fix; empty if no problem was found.
        setting: the setting to check, without its section.
        permanent: whether waiting cannot help.
        too_old: whether the broker is too old.
    """

    problem: str
    setting: str
    permanent: bool
    too_old: bool = False


def diagnose(settings: KafkaSettings, server: str) -> Diagnosis:
    """Return the problem of a server of the settings."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        host, port = server, "9092"
    address = (host.strip("[]"), int(port))
    try:
        if settings.tls:
            return _diagnose_tls(settings, address)
        return _diagnose_plain(settings, address)
    except socket.gaierror:
        return Diagnosis("no such host, or not yet", "servers", False)
    except TimeoutError:
        return Diagnosis("no answer; another port, or a broker that starts?", "servers", False)
    except OSError as error:
        return Diagnosis((error.strerror or str(error)).lower(), "servers", False)


def _diagnose_plain(settings: KafkaSettings, address: tuple[str, int]) -> Diagnosis:
    with _connect(address) as connection:
        versions = _versions(connection)
        if versions is not None:
            return _check_broker(settings, connection, versions)
    if _speaks_tls(address):
        return Diagnosis("it speaks TLS only; set tls = true", "tls", True)
    return _NO_KAFKA


def _diagnose_tls(settings: KafkaSettings, address: tuple[str, int]) -> Diagnosis:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        context.check_hostname = settings.tls_verify_hostname
        if settings.tls_certificate is not None:
            context.load_cert_chain(
                settings.tls_certificate,
                settings.tls_key,
                lambda: reveal(settings.tls_key_password) or "",
            )
        with (
            _connect(address) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as connection,
        ):
            versions = _versions(connection)
            return _NO_KAFKA if versions is None else _check_broker(settings, connection, versions)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        return Diagnosis(
            f"its certificate is not trusted ({why}); name the authority that signed it",
            "tls_ca",
            True,
        )
    except ssl.SSLError as error:
        if any(alert in (error.reason or "") for alert in _WANTS_CERTIFICATE):
            problem = "it requires a client certificate"
            if settings.tls_certificate is not None:
                problem += " that an authority of the broker's signed"
            return Diagnosis(problem, "tls_certificate", True)
        return _diagnose_refused_tls(address, error)
    except ConnectionError as error:
        return _diagnose_refused_tls(address, error)


def _diagnose_refused_tls(address: tuple[str, int], error: OSError) -> Diagnosis:
    with _connect(address) as connection:
        if _versions(connection) is not None:
            return Diagnosis("TLS refused: it does not speak TLS; set tls = false", "tls", True)
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return Diagnosis(f"TLS refused ({why}); is it a broker that answers there?", "tls", True)


def _check_broker(
    settings: KafkaSettings, connection: socket.socket, versions: dict[int, int]
) -> Diagnosis:
    """Return the problem of a server that speaks Kafka's protocol."""
    if versions.get(_INIT_PRODUCER_ID, -1) < _MIN_INIT_PRODUCER_ID:
        problem = "the broker is too old: expected Kafka 2.5 or newer, got an older one"
        return Diagnosis(problem, "servers", True, too_old=True)
    if settings.sasl_mechanism:
        return _check_login(settings, connection)
    if _request(connection, _METADATA, b"\0\0\0\0") is None:
        return Diagnosis("it requires a login; set sasl_mechanism", "sasl_mechanism", True)
    return Diagnosis("", "servers", False)


def _check_login(settings: KafkaSettings, connection: socket.socket) -> Diagnosis:
    def ask(request: int, version: int, content: bytes) -> bytes | None:
        return _request(connection, request, content, version)

    name, mechanism = settings.sasl_username, settings.sasl_mechanism
    login = try_login(settings, ask)
    if login == "refused":
        problem = f'it refuses the login of "{name}" with {mechanism}; correct name and password'
        return Diagnosis(problem, "sasl_username, sasl_password", True)
    if login == "not offered":
        problem = f"it does not offer {mechanism} at that port; choose another, or none"
        return Diagnosis(problem, "sasl_mechanism", True)
    if login == "unknown":
        problem = f'it offers {mechanism}; does it know "{name}" and its password?'
        return Diagnosis(problem, "sasl_username, sasl_password", False)
    return Diagnosis("", "servers", False)


_NO_KAFKA = Diagnosis("connects, but does not answer as Kafka does; another port?", "servers", True)


def _versions(connection: socket.socket) -> dict[int, int] | None:
    """Return the newest version of each request of a broker; None if it is not a broker.

    Raises:
        TimeoutError: no answer, for example because the broker is starting.
    """
    body = _request(connection, _API_VERSIONS, b"")
    if body is None or len(body) < 6:
        return None
    (count,) = struct.unpack_from(">i", body, 2)
    if count < 0 or len(body) < 6 + 6 * count:
        return None
    triples = struct.iter_unpack(">hhh", body[6 : 6 + 6 * count])
    return {key: newest for key, _, newest in triples}


def _request(
    connection: socket.socket, request: int, content: bytes, version: int = 0
) -> bytes | None:
    """Send a request; return the body of the answer, or None if it is not an answer of Kafka."""
    message = struct.pack(">hhih", request, version, 1, -1) + content
    try:
        connection.sendall(struct.pack(">i", len(message)) + message)
        head = _receive(connection, 8)
        if head is None:
            return None
        length, correlation = struct.unpack(">ii", head)
        if correlation != 1 or not 4 <= length <= _MAX_ANSWER:
            return None
        return _receive(connection, length - 4)
    except ConnectionError:
        return None


def _receive(connection: socket.socket, length: int) -> bytes | None:
    """Return this many bytes, or None if the other side closed the connection before."""
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
        _connect(address) as connection,
        context.wrap_socket(connection),
    ):
        return True
    return False


@contextlib.contextmanager
def _connect(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.settimeout(TIMEOUT)
        yield connection
