"""Errors of brokers and of connections to them, in one line that names the setting.

Both clients use them: a module of each translates its own errors.
"""

from __future__ import annotations

from collections.abc import Collection

from rolehost.api import StorageError, StorageRefused, StorageUnavailable

from rolehost_kafka.look import look
from rolehost_kafka.settings import KafkaSettings

_SERVERS = "[kafka] servers"


def _refused(setting: str, message: str) -> StorageRefused:
    where = f"[kafka] {setting}".rstrip()
    return StorageRefused(f"kafka: {where}: {message}", backend="kafka", setting=where)


def login(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a name or password that the brokers refuse."""
    return _refused(
        "sasl_username, sasl_password",
        f'the brokers refuse the login of "{settings.sasl_username}" '
        f"with {settings.sasl_mechanism}; give a name and a password that they know",
    )


def mechanism(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a login mechanism that the brokers do not offer."""
    return _refused(
        "sasl_mechanism",
        f"the brokers do not offer {settings.sasl_mechanism} at that port; choose another, or none",
    )


def too_old(error: object) -> StorageRefused:
    """Return the error for brokers that are too old."""
    return _refused("servers", f"the brokers are too old ({error}); 2.5 or newer is needed")


def setting(error: object) -> StorageRefused:
    """Return the error for an option that the client refuses."""
    return _refused("", f"a setting is refused: {error}")


def unreadable(error: object) -> StorageRefused:
    """Return the error for a file of certificates that cannot be used."""
    return _refused("tls_ca, tls_certificate, tls_key", f"cannot be read ({error})")


def missing(topics: Collection[str]) -> StorageRefused:
    """Return the error for topics (by their names in Kafka) that do not exist."""
    return StorageRefused(
        f"kafka: topics missing: {', '.join(sorted(topics))}; make them, or let them be made: "
        '[kafka] topics = "create-if-missing"',
        backend="kafka",
        setting="[kafka] topics",
    )


def forbidden(doing: str, error: object) -> StorageRefused:
    """Return the error for a missing permission of this login."""
    return StorageRefused(
        f"kafka: {doing}: the brokers do not allow it ({error}); see [kafka] sasl_username and "
        "their access control lists",
        backend="kafka",
        setting="[kafka] sasl_username",
    )


def too_large(error: object) -> StorageError:
    """Return the error for a record that is too large."""
    return StorageError(
        f"kafka: publishing: {error}; see [kafka] max_message",
        backend="kafka",
        setting="[kafka] max_message",
    )


def refused_record(error: object) -> StorageError:
    """Return the error for a record that is refused for another reason than its size."""
    return StorageError(f"kafka: publishing: the record is refused: {error}", backend="kafka")


def codec_missing(error: object) -> StorageRefused:
    """Return the error for compressed records of other producers that need a package."""
    return _refused(
        "client",
        f"records cannot be read: {error}; install the codec with an extra, such as"
        ' rolehost-kafka[zstd], or set client = "confluent"',
    )


def passing(doing: str, error: object) -> StorageUnavailable:
    """Return the error for a call that may succeed later."""
    return StorageUnavailable(f"kafka: {doing}: {error}", backend="kafka")


def file_missing(settings: KafkaSettings) -> StorageRefused | None:
    """Return the error for a missing file of the settings, or None."""
    for name in ("tls_ca", "tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if settings.tls and path is not None and not path.is_file():
            return _refused(name, f"there is no file {path}")
    return None


def unreachable(settings: KafkaSettings) -> StorageUnavailable:
    """Check the files and servers of the settings; return the error with the reason.

    If one server may come back, waiting can help, whatever the others answer.
    """
    if (gone := file_missing(settings)) is not None:
        return gone
    found = [(server, look(settings, server)) for server in settings.servers]
    told = "; ".join(f"{server}: {each.words or 'answers'}" for server, each in found)
    if all(each.lasting for _, each in found):
        return _refused(found[0][1].setting, f"no broker can be used: {told}")
    setting = next((f"[kafka] {each.setting}" for _, each in found if each.words), _SERVERS)
    return StorageUnavailable(
        f"kafka: {setting}: no broker can be used: {told}", backend="kafka", setting=setting
    )


def refuse_old(settings: KafkaSettings) -> None:
    """Raise if the first broker that answers is too old.

    The clients would start to work with it, and fail later.

    Raises:
        StorageRefused: it is too old.
    """
    for server in settings.servers:
        found = look(settings, server)
        if found.old:
            raise _refused("servers", f"{server}: {found.words}")
        if not found.words:
            return
