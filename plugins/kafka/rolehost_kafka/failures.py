"""What goes wrong between here and the brokers, as one line that names the setting.

Whatever client is used: each has a module that knows which of its own errors is which of these.
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
    """Return the error for a way to log in that the brokers do not offer."""
    return _refused(
        "sasl_mechanism",
        f"the brokers do not offer {settings.sasl_mechanism} at that port; choose another, or none",
    )


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


def refused_record(error: object) -> StorageError:
    """Return the error for a record that is never going to be taken, but not for its size."""
    return StorageError(f"kafka: publishing: the record is refused: {error}", backend="kafka")


def codec_missing(error: object) -> StorageRefused:
    """Return the error for records that another producer compressed, and that need a package."""
    return _refused(
        "client",
        f"records cannot be read: {error}; install the codec with an extra, such as"
        ' rolehost-kafka[zstd], or set client = "confluent"',
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


def unreachable(settings: KafkaSettings) -> StorageUnavailable:
    """Look at the files and servers of the settings; return the error that says what is wrong.

    One server that may come is worth waiting for, whatever the others say.
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
    """Raise what says that the brokers are too old, when the first that answers is.

    The clients would begin to work with them, and fail at the first thing that they lack.

    Raises:
        StorageRefused: it is.
    """
    for server in settings.servers:
        found = look(settings, server)
        if found.old:
            raise _refused("servers", f"{server}: {found.words}")
        if not found.words:
            return
