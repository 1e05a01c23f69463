"""What goes wrong between here and the brokers, as one line that names the setting.

Whatever client is used: each has a module that knows which of its own errors is which of these.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection

from rolehost.api import StorageError, StorageRefused, StorageUnavailable

from rolehost_kafka.settings import KafkaSettings

#: Seconds that looking at one server may take, after a connection failed.
_LOOK = 2.0


def _refused(setting: str, message: str) -> StorageRefused:
    where = f"[kafka] {setting}".rstrip()
    return StorageRefused(f"kafka: {where}: {message}", backend="kafka", setting=where)


def login(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a name or password that the brokers refuse."""
    return _refused(
        "sasl_username, sasl_password",
        f'the brokers refuse the login of "{settings.sasl_username}" '
        f"with {settings.sasl_mechanism}",
    )


def mechanism(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a way to log in that the brokers do not offer."""
    return _refused("sasl_mechanism", f"the brokers do not offer {settings.sasl_mechanism}")


def too_old(error: object) -> StorageRefused:
    """Return the error for brokers that lack what is needed."""
    return _refused("servers", f"the brokers are too old ({error}); 2.5 or newer is needed")


def setting(error: object) -> StorageRefused:
    """Return the error for an option that the client refuses."""
    return _refused("", f"a setting is refused: {error}")


def unreadable(error: object) -> StorageRefused:
    """Return the error for a file of certificates that cannot be used."""
    return _refused("tls_ca, tls_certificate, tls_key", f"cannot be read ({error})")


def missing(topics: Collection[str]) -> StorageRefused:
    """Return the error for topics (their names in Kafka) that nobody has made."""
    return StorageRefused(
        f"kafka: topics missing: {', '.join(sorted(topics))}; make them, or let them be made: "
        '[kafka] topics = "create-if-missing"',
        backend="kafka",
        setting="[kafka] topics",
    )


def forbidden(doing: str, error: object) -> StorageRefused:
    """Return the error for something that this login may not do."""
    return StorageRefused(
        f"kafka: {doing}: the brokers do not allow it ({error}); see [kafka] sasl_username and "
        "their access control lists",
        backend="kafka",
        setting="[kafka] sasl_username",
    )


def too_large(error: object) -> StorageError:
    """Return the error for a record that is never going to be taken."""
    return StorageError(
        f"kafka: publishing: {error}; see [kafka] max_message",
        backend="kafka",
        setting="[kafka] max_message",
    )


def passing(doing: str, error: object) -> StorageUnavailable:
    """Return the error for what may work at another time."""
    return StorageUnavailable(f"kafka: {doing}: {error}", backend="kafka")


def file_missing(settings: KafkaSettings) -> StorageRefused | None:
    """Return the error for a file of the settings that is not there; None when all are."""
    for name in ("tls_ca", "tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if settings.tls and path is not None and not path.is_file():
            return _refused(name, f"there is no file {path}")
    return None


def unreachable(settings: KafkaSettings) -> StorageError:
    """Look at the files and servers of the settings; return the error that says what is wrong."""
    if (gone := file_missing(settings)) is not None:
        return gone
    found = "; ".join(f"{server}: {look(settings, server)}" for server in settings.servers)
    return StorageUnavailable(
        f"kafka: [kafka] servers: no broker can be used: {found}",
        backend="kafka",
        setting="[kafka] servers",
    )


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
