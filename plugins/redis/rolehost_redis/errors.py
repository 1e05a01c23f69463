"""The host's errors for those of Redis and its client: one line, without passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import redis
import redis.sentinel
from rolehost.api import StorageBusy, StorageError, StorageRefused, StorageUnavailable

from rolehost_redis.look import complaint, look
from rolehost_redis.servers import Place

_BACKEND = "redis"


class _Sign(NamedTuple):
    """The meaning of an error of Redis, or of a failed connection.

    Attributes:
        words: part of the driver's message.
        meaning: the problem, for the message.
        fix: the fix, for the message.
    """

    words: str
    meaning: str
    fix: str


#: Waiting cannot help.
_LASTING = (
    _Sign("called without any password configured", "the server has no password and was given one",
          "take it out of the URL"),
    _Sign("WRONGPASS", "wrong user or password", "give those that the server knows"),
    _Sign("invalid username-password", "wrong user or password",
          "give those that the server knows"),
    _Sign("invalid password", "wrong user or password", "give those that the server knows"),
    _Sign("NOAUTH", "the server wants a password and was given none",
          "redis://:password@host:port"),
    _Sign("Authentication required", "the server wants a password and was given none",
          "redis://:password@host:port"),
    _Sign("NOPERM", "this user may not do that", "let it, with ACL SETUSER in the server"),
    _Sign("no permissions", "this user may not do that", "let it, with ACL SETUSER in the server"),
    _Sign("DB index is out of range", "there is no database of that number",
          "choose a smaller one, or raise databases of the server"),
    _Sign("invalid DB index", "there is no database of that number", "choose another one"),
    _Sign("unknown command", "the server is too old or lacks a command",
          "Redis 6 or newer is needed"),
    _Sign("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not trusted",
          "name its authority: rediss://…?ssl_ca_certs=/path, and the host that it names"),
    _Sign("[X509", "the certificates that the URL names cannot be read",
          "name PEM files: rediss://…?ssl_ca_certs=/path"),
    _Sign("Protocol Error", "the server at this address is not Redis", "correct host and port"),
)  # fmt: skip

#: Waiting may help.
_PASSING = (
    _Sign("OOM", "the server's memory is full (OOM)", "raise its maxmemory"),
    _Sign("READONLY", "the server is a replica and takes no writes", "name the primary"),
    _Sign("LOADING", "the server is loading its data", "it needs a moment"),
    _Sign("MISCONF", "the server cannot save and refuses writes (MISCONF)",
          "look at its log and its disk"),
    _Sign("MASTERDOWN", "the server has lost its primary", "look at its log"),
    _Sign("BUSY", "a script keeps the server busy", "SCRIPT KILL in the server"),
    _Sign("CLUSTERDOWN", "the cluster is down", "look at its log"),
    _Sign("TRYAGAIN", "the cluster is being rearranged", "it needs a moment"),
    _Sign("max number of clients", "the server has no connection left", "raise its maxclients"),
    _Sign("Name or service not known", "there is no such host, or not yet",
          "correct the name if it is wrong"),
    _Sign("name resolution", "there is no such host, or not yet",
          "correct the name if it is wrong"),
    _Sign("No address associated", "there is no such host, or not yet",
          "correct the name if it is wrong"),
    _Sign("Connection refused", "nothing answers there (connection refused)",
          "start the server, or correct host and port"),
    _Sign("Timeout", "no answer in time", "correct host and port, or look at the server"),
    _Sign("timed out", "no answer in time", "correct host and port, or look at the server"),
)  # fmt: skip

#: Errors of a connection if only one side may use TLS.
_DOUBTFUL = ("closed by server", "reset by peer", "SSL", "EOF occurred")


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Raise the host's errors for the driver's.

    Raises:
        StorageBusy: no connection became free in time.
        StorageUnavailable: the server cannot be reached, or refuses temporarily.
        StorageRefused: waiting cannot help, for example with a wrong password.
        StorageError: the server refuses this command.
    """
    try:
        yield
    except redis.RedisError as error:
        raise translate(place, error) from None


def translate(place: Place, error: redis.RedisError) -> StorageError:
    """Return the host's error for an error of the driver.

    The driver's error is not kept as the cause, because its traceback holds the password.
    """
    reason = place.redact(" ".join(str(error).split()) or type(error).__name__)
    if isinstance(error, redis.MaxConnectionsError) or reason.startswith("No connection avail"):
        return StorageBusy(
            f"{place}: all connections are in use ([redis] connections)",
            backend=_BACKEND,
            setting="[redis] connections",
        )
    if isinstance(error, redis.sentinel.MasterNotFoundError):
        return _told(
            StorageUnavailable,
            place,
            "no Sentinel answers that knows it as reachable",
            "look at the Sentinels, and at the name [redis] sentinel_service",
        )
    for sign in _LASTING:
        if sign.words in reason:
            return _told(StorageRefused, place, sign.meaning, sign.fix)
    if place.secure and "No such file" in reason:
        meaning = "a file of certificates that the URL names is missing"
        return _told(StorageRefused, place, meaning, "correct ssl_ca_certs and its like")
    lost = isinstance(error, (redis.ConnectionError, redis.TimeoutError))
    if lost and (refused := _other_language(place, reason)) is not None:
        return refused
    for sign in _PASSING:
        if sign.words in reason:
            return _told(StorageUnavailable, place, sign.meaning, sign.fix)
    if lost:
        return _told(StorageUnavailable, place, reason, "is it Redis that answers there?")
    return StorageError(f"{place}: {reason}", backend=_BACKEND, setting=place.section_key)


def _other_language(place: Place, reason: str) -> StorageRefused | None:
    """Return the error if only one side uses TLS, or if the server asks for more of it."""
    address = place.address
    doubtful = any(word in reason for word in _DOUBTFUL) or (place.secure and "Timeout" in reason)
    if address is None or not doubtful:
        return None
    spoken = look(*address)
    if place.secure and spoken == "plain":
        meaning, fix = "TLS is asked for and the server has none", "write redis:// for rediss://"
    elif place.secure and spoken == "tls" and "closed by server" not in reason:
        return _certificate_refused(place, complaint(*address, *place.shown))
    elif not place.secure and spoken == "tls":
        meaning, fix = "the server speaks TLS only", "write rediss:// for redis://"
    else:
        return None
    return _told(StorageRefused, place, meaning, fix)


def _certificate_refused(place: Place, alert: str) -> StorageRefused | None:
    """Return the error for a server that refuses the client's certificate."""
    if not alert:
        return None
    if place.shown[0] is None:
        meaning = "the server wants a certificate of the client"
        fix = "name it: rediss://…?ssl_certfile=/path&ssl_keyfile=/path"
    else:
        meaning = f"the server does not take the client's certificate ({alert})"
        fix = "name one as ssl_certfile that an authority of the server's signed"
    return _told(StorageRefused, place, meaning, fix)


_T = TypeVar("_T", bound=StorageUnavailable)


def _told(kind: type[_T], place: Place, meaning: str, fix: str) -> _T:
    return kind(f"{place}: {meaning}; {fix}", backend=_BACKEND, setting=place.section_key)
