"""Errors of brokers and of connections to them, in one line that names the setting.

Both clients use them: a module of each translates its own errors.
"""

from __future__ import annotations

from collections.abc import Collection

from rolehost.api import StorageError, StorageRefused, StorageUnavailable

from rolehost_kafka.diagnosis import diagnose
from rolehost_kafka.settings import KafkaSettings

_SERVERS = "[kafka] servers"


def _refuse(setting: str, message: str) -> StorageRefused:
    where = f"[kafka] {setting}".rstrip()
    return StorageRefused(f"kafka: {where}: {message}", backend="kafka", setting=where)


def login_refused(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a name or password that the brokers refuse."""
    return _refuse(
        "sasl_username, sasl_password",
        f'the brokers refuse the login of "{settings.sasl_username}" '
        f"with {settings.sasl_mechanism}; give a name and a password that they know",
    )


def mechanism_not_offered(settings: KafkaSettings) -> StorageRefused:
    """Return the error for a login mechanism that the brokers do not offer."""
    return _refuse(
        "sasl_mechanism",
        f"the brokers do not offer {settings.sasl_mechanism} at that port; choose another, or none",
    )


def too_old(error: object) -> StorageRefused:
    """Return the error for brokers that are too old."""
    return _refuse("servers", f"the brokers are too old ({error}); 2.5 or newer is needed")


def invalid_setting(error: object) -> StorageRefused:
    """Return the error for an option that the client refuses."""
    return _refuse("", f"a setting is refused: {error}")


def unreadable_file(error: object) -> StorageRefused:
    """Return the error for a file of certificates that cannot be used."""
    return _refuse("tls_ca, tls_certificate, tls_key", f"cannot be read ({error})")


def topics_missing(topics: Collection[str]) -> StorageRefused:
    """Return the error for topics (by their names in Kafka) that do not exist."""
    return StorageRefused(
        f"kafka: topics missing: {', '.join(sorted(topics))}; create them, or set "
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
    return _refuse(
        "client",
        f"records cannot be read: {error}; install the codec with an extra, such as"
        ' rolehost-kafka[zstd], or set client = "confluent"',
    )


def temporary(doing: str, error: object) -> StorageUnavailable:
    """Return the error for a call that may succeed later."""
    return StorageUnavailable(f"kafka: {doing}: {error}", backend="kafka")


def file_missing(settings: KafkaSettings) -> StorageRefused | None:
    """Return the error for a missing file of the settings, or None."""
    for name in ("tls_ca", "tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if settings.tls and path is not None and not path.is_file():
            return _refuse(name, f"there is no file {path}")
    return None


def unreachable(settings: KafkaSettings) -> StorageUnavailable:
    """Check the files and servers of the settings; return the error with the reason.

    If one server may come back, waiting can help, whatever the others answer.
    """
    if (gone := file_missing(settings)) is not None:
        return gone
    found = [(server, diagnose(settings, server)) for server in settings.servers]
    problems = "; ".join(f"{server}: {each.problem or 'answers'}" for server, each in found)
    if all(each.permanent for _, each in found):
        return _refuse(found[0][1].setting, f"no broker can be used: {problems}")
    setting = next((f"[kafka] {each.setting}" for _, each in found if each.problem), _SERVERS)
    return StorageUnavailable(
        f"kafka: {setting}: no broker can be used: {problems}", backend="kafka", setting=setting
    )


def refuse_old_brokers(settings: KafkaSettings) -> None:
    """Raise if the first broker that answers is too old.

    The clients would start to work with it, and fail later.

    Raises:
        StorageRefused: it is too old.
    """
    for server in settings.servers:
        found = diagnose(settings, server)
        if found.too_old:
            raise _refuse("servers", f"{server}: {found.problem}")
        if not found.problem:
            return
