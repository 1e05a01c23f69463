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
        url: the database, ``postgresql://user:password@host:5432/name``; any connection URI of
            libpq, also with several hosts and parameters. None, the default, uses
            libpq's environment (PGHOST, PGDATABASE, PGSERVICE and others).
        password: the password, instead of one in ``url``.
        sslmode: the level of TLS; None uses that of ``url``, or libpq's default (``prefer``).
        sslrootcert: file with the certificates that ``verify-ca`` and ``verify-full`` trust.
        pool_size: maximum connections of the service database in each process. If more threads
            use the database at the same time, they wait.
        pool_timeout: seconds a thread waits for a connection; then ``StorageUnavailable``.
        connect_timeout: seconds after which connecting fails; whole seconds, at least 2.
        statement_timeout: seconds after which the server ends a statement; 0 is never.
        lock_timeout: seconds a statement waits for a row or table that another transaction
            holds; then ``StorageBusy``. 0 waits for ever.
        idle_in_transaction_timeout: seconds after which the server ends a transaction in which no
            statement runs, and so frees its locks; 0 is never.
        answer_timeout: seconds without an answer after which a statement fails with
            ``StorageUnavailable`` and its connection is closed. The default, None, is 5 seconds
            more than ``statement_timeout``, or never if that is 0. If the server reports over a new
            connection that it does not work on the statement, the statement fails after 5 seconds.
            0 is never.
        check_idle: seconds after which an unused connection is tested before its next use.
            Closed connections are noticed without a test.
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
    idle_in_transaction_timeout: Annotated[float, Meta(ge=0)] = 60.0
    answer_timeout: Annotated[float, Meta(ge=0)] | None = None
    check_idle: Seconds = 30.0
