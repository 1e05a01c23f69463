"""What Redis and its client raise, as the host's errors: one line, no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.sentinel
from rolehost.api import StorageBusy, StorageError, StorageUnavailable

from rolehost_redis.servers import Place

#: First words of replies after which the same command may succeed later.
_PASSING = (
    "OOM",
    "READONLY",
    "LOADING",
    "MISCONF",
    "MASTERDOWN",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
)


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Raise the host's errors for the driver's.

    Raises:
        StorageBusy: no connection became free in time.
        StorageUnavailable: the server cannot be reached, or refuses for now.
        StorageError: waiting cannot help: wrong password, wrong database, no permission.
    """
    try:
        yield
    except redis.RedisError as error:
        raise translate(place, error) from None


def translate(place: Place, error: redis.RedisError) -> StorageError:
    """Return the host's error for one of the driver's.

    The driver's is not kept as the cause: its traceback holds the password.
    """
    reason = place.redact(" ".join(str(error).split()) or type(error).__name__)
    if isinstance(error, redis.MaxConnectionsError) or reason.startswith("No connection avail"):
        return StorageBusy(f"{place}: all connections are in use ([redis] connections)")
    if _is_refused(error, reason):
        return StorageError(f"{place}: refused, look at user, password and database: {reason}")
    if isinstance(error, redis.sentinel.MasterNotFoundError):
        return StorageUnavailable(f"{place}: no Sentinel answers that knows it as reachable")
    if place.secure and isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        return StorageUnavailable(
            f"{place}: over TLS (does it speak it, is its certificate trusted?): {reason}"
        )
    passing = isinstance(error, (redis.ConnectionError, redis.TimeoutError))
    if passing or reason.startswith(_PASSING):
        return StorageUnavailable(f"{place}: {reason}")
    return StorageError(f"{place}: {reason}")


def _is_refused(error: redis.RedisError, reason: str) -> bool:
    refused = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
    words = ("WRONGPASS", "NOAUTH", "NOPERM", "DB index is out of range", "invalid DB index")
    return isinstance(error, (*refused, redis.exceptions.NoPermissionError)) or any(
        word in reason for word in words
    )
