"""The host's errors for PostgreSQL's errors."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeVar

import peewee
import psycopg2
from psycopg2 import errors
from rolehost.api import (
    StorageBusy,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    TransactionAborted,
    ValueRefused,
    check_values,
)

#: A quoted value in a message of the server.
_QUOTED = re.compile(r'".*"', re.DOTALL)

#: Fields of every error, for programs.
_BACKEND = "postgres"

#: Codes (https://www.postgresql.org/docs/current/errcodes-appendix.html) after which the same
#: transaction may succeed, because it conflicted with others.
_BUSY = {
    "40001": "another transaction changed the same rows",
    "40P01": "the transaction was in a deadlock with another one",
    "55P03": "another transaction holds a lock that is needed (lock_timeout)",
}
_UNAVAILABLE = {
    "25006": "the server takes no writes for now; it may be a replica",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left",
    "57P01": "the server was shut down or ended the connection",
    "57P02": "the server ended the connection because another one crashed",
    "57P03": "the server is starting or stopping",
    "58030": "the server reports an input/output error",
}

#: The text of an error after the server has ended a transaction that was idle for too long.
_IDLE = (
    "the transaction ran no statement for longer than [postgres] idle_in_transaction_timeout,"
    " so the server ended it; do slow work outside of transactions",
)

#: Codes of values that the server cannot hold, with the texts of the errors.
_VALUES = {
    "22001": "a text is longer than its column",
    "22003": "a number is out of range",
    "22007": "a text is not a date or time",
    "22008": "a date or time is out of range",
    "22021": "a text has a character that the server's encoding lacks",
    "22P02": "a text does not have the form of its column's type",
    "22P05": "a text has a character that the server's encoding lacks",
    "54000": "a value is too long for an index",
}


def storage_error(error: BaseException, place: str) -> StorageError | None:
    """Return the host's error if the storage itself failed, or None.

    If a statement took longer than ``statement_timeout``, or a transaction was idle for too long,
    the caller is the problem: the error stays :class:`peewee.OperationalError`.

    Args:
        error: the driver's error, or peewee's error that wraps it.
        place: backend, host and database, for the message.
    """
    cause = getattr(error, "orig", error) if isinstance(error, peewee.PeeweeException) else error
    if not isinstance(cause, psycopg2.Error):
        return None
    code = cause.pgcode
    if cause.args == _IDLE:
        return None
    if code in _BUSY:
        return StorageBusy(f"{place}: {_BUSY[code]}", backend=_BACKEND)
    if code in _UNAVAILABLE:
        return StorageUnavailable(f"{place}: {_UNAVAILABLE[code]}", backend=_BACKEND)
    if code in _VALUES:
        return ValueRefused(f"{place}: {_VALUES[code]}", backend=_BACKEND)
    broken = code is None and isinstance(
        cause, (psycopg2.OperationalError, psycopg2.InterfaceError)
    )
    if broken or (code or "").startswith("08"):
        return connection_lost(place, cause)
    return None


def blame_transaction(error: psycopg2.Error) -> None:
    """Change the error of a connection that the server has ended because of its transaction."""
    error.args = _IDLE


def value_error(error: ValueError, params: Any) -> ValueError | ValueRefused:
    """Return the error to raise if the driver could not put parameters into a statement."""
    try:
        check_values(params if isinstance(params, (list, tuple)) else ())
    except ValueRefused as known:
        return known
    return error


def connection_lost(place: str, error: psycopg2.Error) -> StorageUnavailable:
    """Return the host's error for a connection that broke."""
    return StorageUnavailable(
        f"{place}: the connection was lost ({first_line(error)})", backend=_BACKEND
    )


class _Known(NamedTuple):
    """A reason for a failed connection. Such errors have no code, so words are compared.

    Attributes:
        words: part of libpq's or the server's message, in lower case.
        meaning: the problem, for the message.
        setting: the setting to check.
        fix: the fix, for the message.
    """

    words: str
    meaning: str
    setting: str
    fix: str


_URL, _PASSWORD = "[postgres] url", "[postgres] password"
_MODE, _CA = "[postgres] sslmode", "[postgres] sslrootcert"

#: Errors after which waiting may help.
_TEMPORARY = (
    _Known("could not translate host name", "there is no such host, or not yet", _URL,
           "correct the name if it is wrong"),
    _Known("connection refused", "nothing answers there (connection refused)", _URL,
           "start the server, or correct host and port"),
    _Known("no such file or directory", "no server has a socket there", _URL,
           "start the server, or name another host"),
    _Known("no route to host", "there is no route to the host", _URL,
           "correct the host, or check network and firewall"),
    _Known("network is unreachable", "there is no route to the host", _URL,
           "correct the host, or check network and firewall"),
    _Known("timeout expired", "no answer in time", _URL,
           "correct host and port, or raise [postgres] connect_timeout"),
    _Known("starting up", "the server is starting", _URL, "wait a moment"),
    _Known("not yet accepting", "the server is starting", _URL, "wait a moment"),
    _Known("recovery mode", "the server is recovering from a crash", _URL, "wait a moment"),
    _Known("shutting down", "the server is stopping", _URL, "start it again"),
    _Known("not currently accepting", "the database takes no connections", _URL,
           "ALTER DATABASE … ALLOW_CONNECTIONS true"),
    _Known("too many", "the server has no connection left", "[postgres] pool_size",
           "lower it, or raise max_connections of the server"),
    _Known("no more connections allowed", "the pooler has no connection left",
           "[postgres] pool_size", "lower it, or raise max_client_conn of PgBouncer"),
    _Known("remaining connection slots", "the server has no connection left",
           "[postgres] pool_size", "lower it, or raise max_connections of the server"),
    _Known("session is not read-write", "none of these servers takes writes now", _URL,
           "set the primary, or wait until one of them takes writes"),
    _Known("session is read-only", "none of these servers takes writes now", _URL,
           "set the primary, or wait until one of them takes writes"),
)  # fmt: skip

#: Errors after which waiting cannot help. The first match counts, so special ones come first.
_PERMANENT = (
    _Known("password authentication failed", "wrong user or password", _PASSWORD,
           "set user and password of a role of this server, there or in the url"),
    _Known("no password supplied", "the server requires a password and none is set", _PASSWORD,
           "set it"),
    _Known("no encryption", "the server refuses this user without TLS, or altogether", _MODE,
           'set it to "verify-full", or let the user in (pg_hba.conf)'),
    _Known("no pg_hba.conf entry", "the server refuses this user from here", _URL,
           "correct user and database, or let the user in (pg_hba.conf)"),
    _Known("authentication failed", "the server refuses this login", _URL,
           "correct user and password, or let the user in (pg_hba.conf)"),
    _Known("valid client certificate", "the server requires a client certificate", _URL,
           "set it there: ?sslcert=/path&sslkey=/path"),
    _Known("alert unknown ca", "the server does not trust the client's certificate", _URL,
           "set sslcert to one that its authority signed"),
    _Known("private key file", "the key of the client's certificate cannot be used", _URL,
           "set sslkey there; only its owner may read the file"),
    _Known("root certificate file", "the file of trusted certificates is missing", _CA,
           "name the file"),
    _Known("could not read root certificate", "the trusted certificates cannot be read", _CA,
           "name a file of PEM certificates"),
    _Known("certificate verify failed", "the server's certificate is not trusted", _CA,
           "name a file with the authority that signed it"),
    _Known("does not match host name", "the server's certificate is for another host", _URL,
           "use the host that the certificate names"),
    _Known("does not support ssl", "TLS is set, but the server does not speak it", _MODE,
           'turn TLS on in the server, or set it to "prefer"'),
    _Known("response to ssl negotiation", "the server at this address is not PostgreSQL", _URL,
           "correct the port"),
    _Known("expected authentication request", "the server at this address is not PostgreSQL", _URL,
           "correct the port"),
    _Known("unsupported frontend protocol", "the server is too old", _URL,
           "PostgreSQL 12 or newer is needed"),
    _Known('database "', "there is no such database", _URL,
           "set an existing one, or create it (createdb)"),
    _Known('role "', "there is no such user, or it may not log in", _URL,
           "set an existing role, or create it (createuser)"),
    _Known("permission denied for database", "the user may not use this database", _URL,
           "GRANT CONNECT ON DATABASE … TO …"),
    _Known("ssl error", "TLS could not be agreed on", _MODE,
           "check the server's log; both need a common version of TLS"),
    _Known("unsupported startup parameter", "a pooler refuses a parameter of the url", _URL,
           "remove it (options=…), or name it in PgBouncer's ignore_startup_parameters"),
    _Known("invalid", "libpq refuses a parameter", _URL,
           "see https://www.postgresql.org/docs/current/libpq-connect.html"),
)  # fmt: skip


def not_connected(error: psycopg2.Error, place: str) -> StorageUnavailable:
    """Return the host's error for a connection that could not be opened.

    With several hosts, one may be away and another may refuse: then waiting can help.

    Args:
        error: the driver's error; its text has no password.
        place: backend, host and database, for the message.
    """
    text = str(error).lower()
    for known_errors, kind in ((_TEMPORARY, StorageUnavailable), (_PERMANENT, StorageRefused)):
        for known in known_errors:
            if known.words in text:
                return _make_error(kind, place, known.meaning, known.setting, known.fix)
    meaning = f"no connection ({first_line(error)})"
    return _make_error(StorageUnavailable, place, meaning, _URL, "check the server's log")


def invalid_url() -> StorageRefused:
    """Return the host's error for an invalid ``url``, without showing it."""
    return StorageRefused(
        "postgres: [postgres] url is not a connection URI;"
        " expected postgresql://user:password@host:5432/name",
        backend=_BACKEND,
        setting=_URL,
    )


def read_only_replica(place: str) -> StorageUnavailable:
    """Return the host's error for a read-only server; it may be promoted later."""
    meaning = "expected a server that takes writes, got a read-only replica"
    fix = "name the primary, or several hosts and target_session_attrs=read-write"
    return _make_error(StorageUnavailable, place, meaning, _URL, fix)


def sessions_mixed(place: str) -> StorageRefused:
    """Return the host's error for a pooler that gives each transaction another session."""
    meaning = (
        "expected a session for each connection, got a pooler that gives each transaction another"
        " session (pool_mode transaction or statement)"
    )
    fix = "name the server, or a pool of the mode session (PgBouncer: pool_mode = session)"
    return _make_error(StorageRefused, place, meaning, _URL, fix)


def too_old(place: str, version: int) -> StorageRefused:
    """Return the host's error for a server that is older than supported."""
    meaning = f"expected PostgreSQL 12 or newer, got {version // 10000}"
    return _make_error(StorageRefused, place, meaning, _URL, "name a newer server")


_T = TypeVar("_T", bound=StorageUnavailable)


def _make_error(kind: type[_T], place: str, meaning: str, setting: str, fix: str) -> _T:
    return kind(f"{place}: {meaning}; see {setting}: {fix}", backend=_BACKEND, setting=setting)


def transaction_aborted(place: str) -> TransactionAborted:
    """Return the host's error for a statement in a transaction that has failed."""
    return TransactionAborted(
        f"{place}: a statement of this transaction had failed, so nothing of it was committed"
    )


def translate_error(error: psycopg2.Error, place: str) -> Exception:
    """Return the error to raise for a driver's error: the host's, or peewee's of the same name."""
    if isinstance(error, errors.InFailedSqlTransaction):
        return transaction_aborted(place)
    known = storage_error(error, place)
    if known is not None:
        return known
    for base in type(error).__mro__:
        wrapper: type[Exception] | None = getattr(peewee, base.__name__, None)
        if wrapper is not None and issubclass(wrapper, peewee.PeeweeException):
            return wrapper(error, *error.args)
    return peewee.DatabaseError(error, *error.args)


def remove_values(error: BaseException | None) -> None:
    """Remove values from the text of a driver's error, and of the errors that it came from.

    The server repeats values of rows and parameters in its details (``Key (name)=(…) already
    exists``, ``Failing row contains (…)``). The driver repeats a part of the statement, with
    values. These texts would reach logs and the table of jobs. The full text stays in
    ``error.diag``.
    """
    while error is not None:
        if isinstance(error, psycopg2.Error) and error.pgcode is not None:
            said = error.diag.message_primary or type(error).__name__
            if error.pgcode.startswith("22"):  # the text quotes a wrong value
                said = _QUOTED.sub('"…"', said)
            place, hint = error.diag.statement_position, error.diag.message_hint
            said += f" (at character {place} of the statement)" if place else ""
            said += f"\nHINT:  {hint}" if hint else ""
            error.args = (said,)
        error = error.__context__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
