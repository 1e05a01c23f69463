"""Opens connections to one PostgreSQL database, and says plainly why one cannot be had."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn, new_type, parse_dsn, register_type
from rolehost.api import RolehostError, StartError, StorageUnavailable

from rolehost_postgres.failures import first_line
from rolehost_postgres.settings import PostgresSettings

#: Type oid of bytea.
_BYTEA = 17


def _as_bytes(value: Any, cursor: Any) -> bytes | None:
    return None if value is None else bytes(psycopg2.BINARY(value, cursor))


_BYTES = new_type((_BYTEA,), "BYTES", _as_bytes)


class _Refusal(NamedTuple):
    """A reason not to connect.

    Attributes:
        sign: part of libpq's message, in lower case.
        meaning: what it means.
        setting: the setting to look at.
        lasting: whether waiting cannot help.
    """

    sign: str
    meaning: str
    setting: str
    lasting: bool


_REFUSALS = (
    _Refusal("password authentication failed", "wrong user or password", "password or url", True),
    _Refusal("no password supplied", "the server wants a password", "password", True),
    _Refusal("no pg_hba.conf entry", "the server refuses this user from here", "url", True),
    _Refusal("does not exist", "there is no such database or user", "url", True),
    _Refusal("could not translate host name", "there is no such host", "url", False),
    _Refusal("connection refused", "nothing answers there (connection refused)", "url", False),
    _Refusal("timeout expired", "no answer in time", "url or connect_timeout", False),
    _Refusal("does not support ssl", "the server has no TLS", "sslmode", True),
    _Refusal("certificate verify failed", "its certificate is not trusted", "sslrootcert", True),
    _Refusal("root certificate file", "the file of trusted certificates is missing",
             "sslrootcert", True),
    _Refusal("does not match host name", "its certificate is for another host", "sslmode", True),
    _Refusal("starting up", "the server is starting", "url", False),
    _Refusal("not yet accepting", "the server is starting", "url", False),
    _Refusal("shutting down", "the server is stopping", "url", False),
    _Refusal("too many", "the server has no connection left", "pool_size", False),
    _Refusal("remaining connection slots", "the server has no connection left", "pool_size", False),
)  # fmt: skip


class Server:
    """Where connections come from; thread-safe, and holds none itself.

    Args:
        settings: the plugin's settings.
        purpose: shown by ``pg_stat_activity`` as part of ``application_name``.

    Raises:
        StartError: the setting ``url`` is no connection URI.
    """

    def __init__(self, settings: PostgresSettings, purpose: str) -> None:
        try:
            parts = {} if settings.url is None else parse_dsn(settings.url.reveal())
        except psycopg2.Error:
            # Without the driver's text: it shows the URI, and so the password.
            raise StartError(
                "postgres: the setting [postgres] url is no connection URI;"
                " expected postgresql://user:password@host:5432/name"
            ) from None
        given = {
            "password": None if settings.password is None else settings.password.reveal(),
            "sslmode": settings.sslmode,
            "sslrootcert": None if settings.sslrootcert is None else str(settings.sslrootcert),
        }
        parts.update({name: value for name, value in given.items() if value is not None})
        parts.setdefault("application_name", f"rolehost {purpose}")
        parts.setdefault("connect_timeout", str(settings.connect_timeout))
        #: What errors call it: backend, host, port, database, user.
        self.place = _place(parts)
        self._dsn = make_dsn(**parts)
        self._settings = settings
        self._had_one = False

    def connect(self, *, lock_timeout: float | None = None) -> Connection:
        """Open a connection in autocommit mode, with this plugin's time limits.

        Args:
            lock_timeout: seconds, instead of the setting, and without a limit for statements.

        Raises:
            StartError: it can never succeed with these settings, and never has.
            StorageUnavailable: it cannot be had for now.
        """
        try:
            opened: Connection = psycopg2.connect(self._dsn)
        except psycopg2.Error as error:
            raise self._refused(error) from None
        try:
            opened.autocommit = True
            register_type(_BYTES, opened)
            replica = self._prepare(opened, lock_timeout)
        except psycopg2.Error as error:
            opened.close()
            raise StorageUnavailable(
                f"{self.place}: the connection was lost ({first_line(error)})"
            ) from error
        if replica:
            opened.close()
            raise self._failure(
                "this server is a read-only replica; name the primary in [postgres] url", True
            )
        self._had_one = True
        return opened

    def _prepare(self, opened: Connection, lock_timeout: float | None) -> bool:
        """Set limits, and say whether the server takes no writes; one round trip."""
        settings = self._settings
        statement = settings.statement_timeout if lock_timeout is None else 0
        lock = settings.lock_timeout if lock_timeout is None else lock_timeout
        with opened.cursor() as cursor:
            cursor.execute(
                "SET default_transaction_isolation = 'read committed';"
                f"SET statement_timeout = {_milliseconds(statement)};"
                f"SET lock_timeout = {_milliseconds(lock)};"
                "SELECT pg_is_in_recovery()"
            )
            return bool(cursor.fetchone()[0])

    def _refused(self, error: psycopg2.Error) -> RolehostError:
        text = str(error).lower()
        for refusal in _REFUSALS:
            if refusal.sign in text:
                return self._failure(
                    f"{refusal.meaning}; see the setting [postgres] {refusal.setting}",
                    refusal.lasting,
                )
        return self._failure(f"cannot connect ({first_line(error)}); see [postgres] url", False)

    def _failure(self, text: str, lasting: bool) -> RolehostError:
        kind = StartError if lasting and not self._had_one else StorageUnavailable
        return kind(f"{self.place}: {text}")


def _place(parts: Mapping[str, str]) -> str:
    """Name a server by the URI's parts and by libpq's environment, as libpq does."""

    def part(name: str, variable: str, otherwise: str) -> str:
        return parts.get(name) or os.environ.get(variable) or otherwise

    user = part("user", "PGUSER", "")
    return (
        f"postgres: {part('host', 'PGHOST', 'the local socket')}:{part('port', 'PGPORT', '5432')},"
        f" database {part('dbname', 'PGDATABASE', user)!r}, user {user!r}"
    )


def _milliseconds(seconds: float) -> int:
    """Return what PostgreSQL takes; 0 is no limit, and nothing else becomes 0."""
    return 0 if seconds == 0 else max(1, round(seconds * 1000))
