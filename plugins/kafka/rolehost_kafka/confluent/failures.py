"""Translates librdkafka's errors."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from rolehost.api import StorageError

from rolehost_kafka import failures
from rolehost_kafka.settings import KafkaSettings

#: Codes of calls that the brokers do not permit.
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}

#: Codes that mean that no broker can be used; the reason was reported before.
_NO_BROKER = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._SSL,
    KafkaError._AUTHENTICATION,
}

#: Errors of a record that come at every attempt to send it.
_TOO_LARGE = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE,
}
_REFUSED = {
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._INVALID_ARG,
}


class LastError:
    """The last error of a client's connections.

    librdkafka tries for ever, and a call that needs a broker only times out. It reports the
    reason to a callback, which is :meth:`report`.
    """

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def report(self, error: KafkaError) -> None:
        """Keep an error that a client reports."""
        # "All brokers are down" follows every reason and adds nothing.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last = error

    def clear(self) -> None:
        """Forget the error, because a call succeeded."""
        self._last = None

    def translate(self, settings: KafkaSettings, doing: str, error: KafkaError) -> StorageError:
        """Return the error to raise for a call, with the reason that was reported before."""
        code = error.code()
        if code in _FORBIDDEN:
            return failures.forbidden(doing, error.str())
        if code in (KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION):
            return failures.too_old(error.str())
        if code in _NO_BROKER:
            return self._connect_error(settings, error)
        return failures.temporary(doing, f"{error.name()}: {error.str()}")

    def translate_publish_error(self, settings: KafkaSettings, error: KafkaError) -> StorageError:
        """Return why a record was not stored: StorageUnavailable if it may be stored later."""
        code = error.code()
        if code in _TOO_LARGE:
            return failures.too_large(error.str())
        if code in _REFUSED:
            return failures.refused_record(f"{error.name()}: {error.str()}")
        if code in (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT):
            return failures.temporary("publishing", "no answer in time")
        return self.translate(settings, "publishing", error)

    def _connect_error(self, settings: KafkaSettings, error: KafkaError) -> StorageError:
        why = self._last if self._last is not None else error
        if why.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            # The text for a wrong password names the mechanism too.
            if "mechanism handshake failed" in why.str():
                return failures.mechanism_not_offered(settings)
            return failures.login_refused(settings)
        return failures.unreachable(settings)


def refused_setting(settings: KafkaSettings, error: KafkaException) -> StorageError:
    """Return the error for options from which no client can be made."""
    if (gone := failures.file_missing(settings)) is not None:
        return gone
    if "ssl" in str(error).lower():
        return failures.unreadable_file(error)
    return failures.invalid_setting(error)
