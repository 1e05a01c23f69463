"""Opens connections to one PostgreSQL database, with clear errors if that fails."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, new_type, parse_dsn, register_type
from rolehost.api import StorageUnavailable

from rolehost_postgres.failures import (
    connection_lost,
    invalid_url,
    not_connected,
    read_only_replica,
    too_old,
)
from rolehost_postgres.pooler import require_session
from rolehost_postgres.settings import PostgresSettings
from rolehost_postgres.silence import watch
from rolehost_postgres.wire import Connection, Cursor

#: The oldest supported server, as the driver numbers versions.
MIN_VERSION = 120_000

#: Type oid of bytea.
_BYTEA = 17


def _as_bytes(value: Any, cursor: Any) -> bytes | None:
    return None if value is None else bytes(psycopg2.BINARY(value, cursor))


_BYTES = new_type((_BYTEA,), "BYTES", _as_bytes)

#: End a connection to a lost host after about 15 seconds, on the client's side and on the server's,
#: which keeps the locks of a lost client until then. The defaults of the system are hours
#: (https://www.postgresql.org/docs/current/libpq-connect.html, runtime-config-connection.html).
_KEEPALIVE = {
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_SERVER_KEEPALIVE = "".join(
    f"SET {name if name.startswith('tcp_') else f'tcp_{name}'} = {value};"
    for name, value in _KEEPALIVE.items()
)

#: Seconds by which a statement may outlast ``statement_timeout`` until its connection is ended.
_GRACE = 5.0

#: Seconds that the server has to answer a question about a session.
_QUESTION = 5.0
#: Finds sessions that work on a statement. A session that has just answered counts as working,
#: because the answer may be on its way. The state of a session of another user is NULL.
_BUSY = (
    "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND (state IS NULL"
    " OR state NOT LIKE 'idle%%' OR state_change > clock_timestamp() - interval '2 seconds')"
)


class Server:
    """Opens connections and does not keep them; thread-safe.

    Args:
        settings: the plugin's settings.
        purpose: shown by ``pg_stat_activity`` as part of ``application_name``.
        answer_timeout: replaces the setting ``answer_timeout``.

    Raises:
        StorageRefused: the setting ``url`` is not a connection URI.
    """

    def __init__(
        self, settings: PostgresSettings, purpose: str, *, answer_timeout: float | None = None
    ) -> None:
        try:
            parts = {} if settings.url is None else parse_dsn(settings.url.reveal())
        except psycopg2.Error:
            # The driver's text is left out, because it shows the URI with the password.
            raise invalid_url() from None
        options = {
            "password": None if settings.password is None else settings.password.reveal(),
            "sslmode": settings.sslmode,
            "sslrootcert": None if settings.sslrootcert is None else str(settings.sslrootcert),
        }
        parts.update({name: value for name, value in options.items() if value is not None})
        parts.setdefault("application_name", f"rolehost {purpose}")
        parts.setdefault("connect_timeout", str(settings.connect_timeout))
        for name, value in _KEEPALIVE.items():
            parts.setdefault(name, value)
        #: The server's name in errors: backend, host, port, database, user.
        self.place = _place(parts)
        self._dsn = make_dsn(**parts)
        self._settings = settings
        if answer_timeout is None:
            answer_timeout = settings.answer_timeout
        #: Whether the server may be asked about its sessions, see :mod:`.silence`.
        self._may_be_asked = answer_timeout != 0
        if answer_timeout is None:
            limit = settings.statement_timeout
            answer_timeout = limit + _GRACE if limit else 0.0
        self._patience = answer_timeout
        self._has_sessions = False

    def connect(self) -> Connection:
        """Open a connection in autocommit mode, with this plugin's time limits.

        Raises:
            StorageRefused: these settings cannot work.
            StorageUnavailable: the server cannot be reached now.
        """
        opened = self._open()
        try:
            opened.idle_limit = self._settings.idle_in_transaction_timeout
            register_type(_BYTES, opened)
            if not self._has_sessions:
                require_session(opened, self._open, self.place)
                self._has_sessions = True
            read_only, pid = self._prepare(opened)
            opened.patience = self._patience
            # A pooler in between reports other numbers.
            if self._may_be_asked and pid == opened.info.backend_pid:
                opened.sessions = self
        except psycopg2.Error as error:
            opened.close()
            raise connection_lost(self.place, error) from error
        except StorageUnavailable:
            opened.close()
            raise
        if opened.server_version < MIN_VERSION:
            opened.close()
            raise too_old(self.place, opened.server_version)
        if read_only:
            opened.close()
            raise read_only_replica(self.place)
        return opened

    def _open(self) -> Connection:
        """Open a connection in autocommit mode; its settings are the server's defaults."""
        try:
            opened = psycopg2.connect(
                self._dsn, connection_factory=Connection, cursor_factory=Cursor
            )
        except psycopg2.Error as error:
            raise not_connected(error, self.place) from None
        # A connection that falls silent before its settings are made fails to open.
        opened.patience = self._settings.connect_timeout
        watch.add(opened)
        opened.autocommit = True
        return opened

    def busy(self, pids: Sequence[int]) -> set[int]:
        """Return the process ids of the sessions that work on a statement or may do so.

        Raises StorageUnavailable or psycopg2's error if the server does not answer.
        """
        asking = self.connect()
        try:
            asking.patience = _QUESTION
            with asking.cursor() as cursor:
                cursor.execute(_BUSY, (list(pids),))
                return {pid for (pid,) in cursor.fetchall()}
        finally:
            asking.close()

    def _prepare(self, opened: Connection) -> tuple[bool, int]:
        """Set limits; return whether the server is read-only, and the session's process id.

        This takes one round trip.
        """
        settings = self._settings
        # PERF: statements are short, but large tables make the planner expect high costs. Then the
        # server would compile a statement (JIT) for longer than it runs.
        idle = _milliseconds(settings.idle_in_transaction_timeout)
        with opened.cursor() as cursor:
            cursor.execute(
                "SET default_transaction_isolation = 'read committed';"
                f"SET statement_timeout = {_milliseconds(settings.statement_timeout)};"
                f"SET lock_timeout = {_milliseconds(settings.lock_timeout)};SET jit = off;"
                f"SET idle_in_transaction_session_timeout = {idle};{_SERVER_KEEPALIVE}"
                "SELECT pg_is_in_recovery(), pg_backend_pid()"
            )
            read_only, pid = cursor.fetchone()
            return read_only, pid


def _place(parts: Mapping[str, str]) -> str:
    """Return the name of a server from the URI and libpq's environment, as libpq reads them."""

    def part(name: str, variable: str, otherwise: str) -> str:
        return parts.get(name) or os.environ.get(variable) or otherwise

    user = part("user", "PGUSER", "")
    return (
        f"postgres: {part('host', 'PGHOST', 'the local socket')}:{part('port', 'PGPORT', '5432')},"
        f" database {part('dbname', 'PGDATABASE', user)!r}, user {user!r}"
    )


def _milliseconds(seconds: float) -> int:
    """Return milliseconds; 0 is no limit, and no other value becomes 0."""
    return 0 if seconds == 0 else max(1, round(seconds * 1000))
