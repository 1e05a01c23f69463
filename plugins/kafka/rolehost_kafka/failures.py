"""What kafka-python and the network raise, told as one line that names the setting."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient
from rolehost.api import StorageError, StorageUnavailable

from rolehost_kafka.settings import KafkaSettings

#: Seconds that looking at one server may take, after a connection failed.
_LOOK = 2.0

#: What kafka-python raises when the cluster cannot be used for now; RuntimeError comes from a
#: client whose input and output thread has ended, ValueError and AssertionError from options.
DRIVER_ERRORS = (KafkaError, OSError, RuntimeError)


def connected(settings: KafkaSettings, kind: Callable[..., object], **options: object) -> Any:
    """Return a connected producer, consumer or administration client.

    Args:
        settings: the plugin's settings, to look at when it fails.
        kind: the class.
        options: its options.

    Raises:
        StorageUnavailable: it cannot connect; the message says to which server, why, and which
            setting to look at.
    """
    begun: list[Any] = []

    def network(**given: Any) -> Any:
        begun.append(KafkaNetClient(**given))
        return begun[-1]

    try:
        return kind(kafka_client=network, **options)
    except (KafkaError, OSError, RuntimeError, ValueError, AssertionError) as error:
        # A constructor that raises leaves its thread running and its sockets open.
        for client in begun:
            with contextlib.suppress(Exception):
                client.close()
        raise StorageUnavailable(_connecting(settings, error)) from error


def unavailable(doing: str, error: Exception) -> StorageError:
    """Return what to raise for a failure of a client that was connected."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, AuthorizationError):
        return StorageUnavailable(
            f"kafka: {doing}: the brokers do not allow it ({error}); "
            "see [kafka] sasl_username and their access control lists"
        )
    if isinstance(error, KafkaTimeoutError):
        return StorageUnavailable(f"kafka: {doing}: no answer in time ({error})")
    return StorageUnavailable(f"kafka: {doing}: {type(error).__name__}: {error}")


def _connecting(settings: KafkaSettings, error: Exception) -> str:
    if isinstance(error, SaslAuthenticationFailedError):
        return (
            f"kafka: [kafka] sasl_username, sasl_password: the brokers refuse the login of "
            f'"{settings.sasl_username}" with {settings.sasl_mechanism}'
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"kafka: [kafka] sasl_mechanism: the brokers do not offer {settings.sasl_mechanism}"
    if isinstance(error, UnsupportedVersionError):
        return f"kafka: [kafka] servers: the brokers are too old ({error}); 2.5 or newer is needed"
    if isinstance(error, KafkaConfigurationError | ValueError | AssertionError):
        return f"kafka: [kafka]: a setting is refused: {error}"
    if isinstance(error, PermissionError | ssl.SSLError):
        return f"kafka: [kafka] tls_ca, tls_certificate, tls_key: cannot be read ({error})"
    for name in ("tls_ca", "tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if settings.tls and path is not None and not path.is_file():
            return f"kafka: [kafka] {name}: there is no file {path}"
    found = "; ".join(f"{server}: {look(settings, server)}" for server in settings.servers)
    return f"kafka: [kafka] servers: no broker can be used: {found}"


def look(settings: KafkaSettings, server: str) -> str:
    """Return in a few words what is wrong with a server of the settings."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        host, port = server, "9092"
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_LOOK)
    except socket.gaierror:
        return "no such host"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    with connection:
        if settings.tls:
            return _look_encrypted(settings, connection, host)
        hint = "tls = true" if not settings.sasl_mechanism else "tls and sasl_mechanism"
        return f"connects, but does not answer as Kafka does: another port, or is [kafka] {hint}?"


def _look_encrypted(settings: KafkaSettings, connection: socket.socket, host: str) -> str:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        context.check_hostname = settings.tls_verify_hostname
        with context.wrap_socket(connection, server_hostname=host):
            return "TLS works, but it does not answer as Kafka does: another port?"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted ({error.verify_message}); see [kafka] tls_ca"
    except (ssl.SSLError, OSError) as error:
        return f"TLS refused ({error}); see [kafka] tls"
