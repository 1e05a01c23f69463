"""Which of kafka-python's errors is which of ours."""

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

#: What kafka-python raises when the cluster cannot be used for now; RuntimeError comes from a
#: client whose input and output thread has ended.
DRIVER_ERRORS = (KafkaError, OSError, RuntimeError)

#: What a record is refused for as often as it is sent. The last ones are raised for arguments
#: that kafka-python does not take, such as an impossible name of a topic.
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_REFUSED = (
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    TypeError,
    ValueError,
    AssertionError,
)


def connected(settings: KafkaSettings, kind: Callable[..., object], **options: object) -> Any:
    """Return a connected producer, consumer or administration client.

    Args:
        settings: the plugin's settings, to look at when it fails.
        kind: the class.
        options: its options.

    Raises:
        StorageUnavailable: it cannot connect; the message says to which server, why, and which
            setting to look at.
        StorageRefused: and trying again cannot help.
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
        raise _connecting(settings, error) from error


def unpublished(error: Exception) -> StorageError:
    """Return why a record was not stored: StorageUnavailable if it may be at another time."""
    if isinstance(error, _TOO_LARGE):
        return failures.too_large(error)
    if isinstance(error, _REFUSED):
        return failures.refused_record(f"{type(error).__name__}: {error}")
    return unavailable("publishing", error)


def unavailable(doing: str, error: Exception) -> StorageError:
    """Return what to raise for a failure of a client that was connected."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, AuthorizationError):
        return failures.forbidden(doing, error)
    if isinstance(error, UnsupportedVersionError):
        return failures.too_old(error)
    if isinstance(error, UnsupportedCodecError):
        return failures.codec_missing(error)
    if isinstance(error, KafkaTimeoutError):
        return failures.passing(doing, f"no answer in time ({error})")
    return failures.passing(doing, f"{type(error).__name__}: {error}")


def _connecting(settings: KafkaSettings, error: Exception) -> StorageError:
    if isinstance(error, SaslAuthenticationFailedError):
        return failures.login(settings)
    if isinstance(error, UnsupportedSaslMechanismError):
        return failures.mechanism(settings)
    if isinstance(error, UnsupportedVersionError):
        return failures.too_old(error)
    if isinstance(error, KafkaConfigurationError | ValueError | AssertionError):
        return failures.setting(error)
    if isinstance(error, PermissionError | ssl.SSLError):
        return failures.unreadable(error)
    return failures.unreachable(settings)
