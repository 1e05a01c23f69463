"""The host's errors for errors of Redis and of its client: one line, without passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import redis
import redis.sentinel
from rolehost.api import StorageBusy, StorageError, StorageRefused, StorageUnavailable

from rolehost_redis.diagnosis import certificate_alert, probe_protocol
from rolehost_redis.servers import Server

_BACKEND = "redis"


class _Known(NamedTuple):
    """A known error of Redis, or of a failed connection.

    Attributes:
        words: part of the driver's message.
        meaning: the problem, for the message.
        fix: the fix, for the message.
    """

    words: str
    meaning: str
    fix: str


#: Errors after which waiting cannot help.
_PERMANENT = (
    _Known("called without any password configured",
           "the server has no password, but one is set", "remove it from the URL"),
    _Known("WRONGPASS", "wrong user or password", "set the ones that the server knows"),
    _Known("invalid username-password", "wrong user or password",
           "set the ones that the server knows"),
    _Known("invalid password", "wrong user or password", "set the ones that the server knows"),
    _Known("NOAUTH", "the server requires a password and none is set",
           "redis://:password@host:port"),
    _Known("Authentication required", "the server requires a password and none is set",
           "redis://:password@host:port"),
    _Known("NOPERM", "this user has no permission for the command", "grant it with ACL SETUSER"),
    _Known("no permissions", "this user has no permission for the command",
           "grant it with ACL SETUSER"),
    _Known("DB index is out of range", "there is no database with that number",
           "choose a smaller one, or raise `databases` in the server"),
    _Known("invalid DB index", "there is no database with that number", "choose another one"),
    _Known("unknown command", "the server is too old or lacks a command",
           "Redis 6 or newer is needed"),
    _Known("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not trusted",
           "name its authority: rediss://…?ssl_ca_certs=/path, and the host that it names"),
    _Known("[X509", "the certificates that the URL names cannot be read",
           "name PEM files: rediss://…?ssl_ca_certs=/path"),
    _Known("Protocol Error", "the server at this address is not Redis", "correct host and port"),
)  # fmt: skip

#: Errors after which waiting may help.
_TEMPORARY = (
    _Known("OOM", "the server's memory is full (OOM)", "raise its maxmemory"),
    _Known("READONLY", "the server is a replica and takes no writes", "name the primary"),
    _Known("LOADING", "the server is loading its data", "wait a moment"),
    _Known("MISCONF", "the server cannot save and refuses writes (MISCONF)",
           "check its log and its disk"),
    _Known("MASTERDOWN", "the server has lost its primary", "check its log"),
    _Known("BUSY", "a script keeps the server busy", "run SCRIPT KILL on the server"),
    _Known("CLUSTERDOWN", "the cluster is down", "check its log"),
    _Known("TRYAGAIN", "the cluster is being rearranged", "wait a moment"),
    _Known("max number of clients", "the server has no connection left", "raise its maxclients"),
    _Known("Name or service not known", "there is no such host, or not yet",
           "correct the name if it is wrong"),
    _Known("name resolution", "there is no such host, or not yet",
           "correct the name if it is wrong"),
    _Known("No address associated", "there is no such host, or not yet",
           "correct the name if it is wrong"),
    _Known("Connection refused", "nothing answers there (connection refused)",
           "start the server, or correct host and port"),
    _Known("Timeout", "no answer in time", "correct host and port, or check the server"),
    _Known("timed out", "no answer in time", "correct host and port, or check the server"),
)  # fmt: skip

#: Errors of a connection if only one side may use TLS.
_MAYBE_TLS = ("closed by server", "reset by peer", "SSL", "EOF occurred")


@contextmanager
def translated(server: Server) -> Iterator[None]:
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
        raise translate(server, error) from None


def translate(server: Server, error: redis.RedisError) -> StorageError:
    """Return the host's error for an error of the driver.

    The driver's error is not kept as the cause, because its traceback holds the password.
    """
    reason = server.redact(" ".join(str(error).split()) or type(error).__name__)
    if isinstance(error, redis.MaxConnectionsError) or reason.startswith("No connection avail"):
        return StorageBusy(
            f"{server}: all connections are in use ([redis] connections)",
            backend=_BACKEND,
            setting="[redis] connections",
        )
    if isinstance(error, redis.sentinel.MasterNotFoundError):
        return _make_error(
            StorageUnavailable,
            server,
            "no Sentinel knows a reachable server of this name",
            "check the Sentinels, and the name [redis] sentinel_service",
        )
    for known in _PERMANENT:
        if known.words in reason:
            return _make_error(StorageRefused, server, known.meaning, known.fix)
    if server.secure and "No such file" in reason:
        meaning = "a file of certificates that the URL names is missing"
        return _make_error(
            StorageRefused, server, meaning, "correct ssl_ca_certs, ssl_certfile and ssl_keyfile"
        )
    lost = isinstance(error, (redis.ConnectionError, redis.TimeoutError))
    if lost and (mismatch := _tls_mismatch(server, reason)) is not None:
        return mismatch
    for known in _TEMPORARY:
        if known.words in reason:
            return _make_error(StorageUnavailable, server, known.meaning, known.fix)
    if lost:
        return _make_error(StorageUnavailable, server, reason, "is it Redis that answers there?")
    return StorageError(f"{server}: {reason}", backend=_BACKEND, setting=server.section_key)


def _tls_mismatch(server: Server, reason: str) -> StorageRefused | None:
    """Return the error if only one side uses TLS, or if the server requires a certificate."""
    address = server.address
    maybe_tls = any(word in reason for word in _MAYBE_TLS) or (
        server.secure and "Timeout" in reason
    )
    if address is None or not maybe_tls:
        return None
    protocol = probe_protocol(*address)
    if server.secure and protocol == "plain":
        meaning, fix = (
            "TLS is set, but the server does not speak it",
            "write redis:// instead of rediss://",
        )
    elif server.secure and protocol == "tls" and "closed by server" not in reason:
        return _certificate_refused(server, certificate_alert(*address, *server.client_certificate))
    elif not server.secure and protocol == "tls":
        meaning, fix = "the server speaks TLS only", "write rediss:// instead of redis://"
    else:
        return None
    return _make_error(StorageRefused, server, meaning, fix)


def _certificate_refused(server: Server, alert: str) -> StorageRefused | None:
    """Return the error for a server that refuses the client's certificate."""
    if not alert:
        return None
    if server.client_certificate[0] is None:
        meaning = "the server requires a client certificate"
        fix = "set it: rediss://…?ssl_certfile=/path&ssl_keyfile=/path"
    else:
        meaning = f"the server does not take the client's certificate ({alert})"
        fix = "set ssl_certfile to one that the server's authority signed"
    return _make_error(StorageRefused, server, meaning, fix)


_T = TypeVar("_T", bound=StorageUnavailable)


def _make_error(kind: type[_T], server: Server, meaning: str, fix: str) -> _T:
    return kind(f"{server}: {meaning}; {fix}", backend=_BACKEND, setting=server.section_key)
