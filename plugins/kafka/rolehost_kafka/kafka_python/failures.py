"""Translates kafka-python's errors."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from kafka.errors import (
    AuthorizationError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient
from rolehost.api import StorageError

from rolehost_kafka import failures
from rolehost_kafka.settings import KafkaSettings

#: Errors of kafka-python if the cluster cannot be used now; RuntimeError comes from a client
#: whose input and output thread has ended.
DRIVER_ERRORS = (KafkaError, OSError, RuntimeError)

#: Errors of a record that come at every attempt to send it. The last ones are raised for invalid
#: arguments, for example an invalid name of a topic.
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_REFUSED = (
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    TypeError,
    ValueError,
    AssertionError,
)


def make_client(settings: KafkaSettings, kind: Callable[..., object], **options: object) -> Any:
    """Return a connected producer, consumer or administration client.

    Args:
        settings: the plugin's settings, for the message of an error.
        kind: the class.
        options: its options.

    Raises:
        StorageUnavailable: it cannot connect; the message names server, reason and setting.
        StorageRefused: it cannot connect, and trying again cannot help.
    """
    clients: list[Any] = []

    def network(**network_options: Any) -> Any:
        clients.append(KafkaNetClient(**network_options))
        return clients[-1]

    try:
        return kind(kafka_client=network, **options)
    except (KafkaError, OSError, RuntimeError, ValueError, AssertionError) as error:
        # If a constructor raises, its thread continues and its sockets stay open.
        for client in clients:
            with contextlib.suppress(Exception):
                client.close()
        raise _connect_error(settings, error) from error


def translate_publish_error(error: Exception) -> StorageError:
    """Return the error of a record: StorageUnavailable if it may be stored later."""
    if isinstance(error, _TOO_LARGE):
        return failures.too_large(error)
    if isinstance(error, _REFUSED):
        return failures.refused_record(f"{type(error).__name__}: {error}")
    return unavailable("publishing", error)


def unavailable(doing: str, error: Exception) -> StorageError:
    """Return the error for a failure of a connected client."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, AuthorizationError):
        return failures.forbidden(doing, error)
    if isinstance(error, UnsupportedVersionError):
        return failures.too_old(error)
    if isinstance(error, UnsupportedCodecError):
        return failures.codec_missing(error)
    if isinstance(error, KafkaTimeoutError):
        return failures.temporary(doing, f"no answer in time ({error})")
    return failures.temporary(doing, f"{type(error).__name__}: {error}")


def _connect_error(settings: KafkaSettings, error: Exception) -> StorageError:
    if isinstance(error, SaslAuthenticationFailedError):
        return failures.login_refused(settings)
    if isinstance(error, UnsupportedSaslMechanismError):
        return failures.mechanism_not_offered(settings)
    if isinstance(error, UnsupportedVersionError):
        return failures.too_old(error)
    if isinstance(error, KafkaConfigurationError | ValueError | AssertionError):
        return failures.invalid_setting(error)
    if isinstance(error, PermissionError | ssl.SSLError):
        return failures.unreadable_file(error)
    return failures.unreachable(settings)
