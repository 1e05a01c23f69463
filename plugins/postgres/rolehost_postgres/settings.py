"""The settings section ``[postgres]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta
from rolehost.api import Secret, Settings

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
#: libpq's levels of TLS (https://www.postgresql.org/docs/current/libpq-ssl.html).
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class PostgresSettings(Settings, frozen=True):
    """``[postgres]``; database and queue use the same server.

    Attributes:
        url: where the database is, ``postgresql://user:password@host:5432/name``; anything
            that libpq takes as a connection URI, so several hosts and parameters too. None
            leaves it to libpq's environment (PGHOST, PGDATABASE, PGSERVICE and the like).
        password: the password, instead of one in ``url``.
        sslmode: how much TLS; None leaves it to ``url``, else to libpq (``prefer``).
        sslrootcert: file with the certificates that ``verify-ca`` and ``verify-full`` trust.
        pool_size: most connections the service database opens in each process. At least as
            many as the process has threads that use it at once, or they wait.
        pool_timeout: seconds a thread waits for a connection; then ``StorageUnavailable``.
        connect_timeout: seconds after which connecting has failed; whole seconds, at least 2.
        statement_timeout: seconds after which the server ends a statement; 0 is never.
        lock_timeout: seconds a statement waits for a row or table that somebody else holds;
            then ``StorageBusy``. 0 is for ever.
        check_idle: a connection that lay unused for so many seconds is asked for a sign of
            life before it is used. Closed ones are noticed without asking.
    """

    url: Secret | None = None
    password: Secret | None = None
    sslmode: SslMode | None = None
    sslrootcert: Path | None = None
    pool_size: Count = 10
    pool_timeout: Seconds = 10.0
    connect_timeout: Annotated[int, Meta(ge=2)] = 5
    statement_timeout: Annotated[float, Meta(ge=0)] = 60.0
    lock_timeout: Annotated[float, Meta(ge=0)] = 5.0
    check_idle: Seconds = 30.0
