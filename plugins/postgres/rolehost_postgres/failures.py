"""What PostgreSQL's errors mean to the host."""

from __future__ import annotations

import peewee
import psycopg2
from rolehost.api import StorageBusy, StorageError, StorageUnavailable

#: Codes (https://www.postgresql.org/docs/current/errcodes-appendix.html) after which the same
#: transaction may succeed: others were in the way.
_BUSY = {
    "40001": "another transaction changed the same rows",
    "40P01": "the transaction was in a deadlock with another one",
    "55P03": "another transaction holds what is needed (lock_timeout)",
}
_UNAVAILABLE = {
    "25006": "the server takes no writes for now; it may be a replica",
    "25P03": "the transaction was idle for too long and the server ended it",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left",
    "57P01": "the server was shut down or ended the connection",
    "57P02": "the server ended the connection because another one crashed",
    "57P03": "the server is starting or stopping",
    "58030": "the server reports an input/output error",
}


def storage_error(error: BaseException, place: str) -> StorageError | None:
    """Return the host's error for a failure of the storage itself; None for any other.

    A statement that took longer than ``statement_timeout`` is at fault itself: it stays
    :class:`peewee.OperationalError`.

    Args:
        error: the driver's error, or peewee's around one.
        place: names backend, host and database, for the message.
    """
    cause = getattr(error, "orig", error) if isinstance(error, peewee.PeeweeException) else error
    if not isinstance(cause, psycopg2.Error):
        return None
    code = cause.pgcode
    if code in _BUSY:
        return StorageBusy(f"{place}: {_BUSY[code]}")
    if code in _UNAVAILABLE:
        return StorageUnavailable(f"{place}: {_UNAVAILABLE[code]}")
    lost = code is None and isinstance(cause, (psycopg2.OperationalError, psycopg2.InterfaceError))
    if lost or (code or "").startswith("08"):
        return StorageUnavailable(f"{place}: the connection was lost ({first_line(cause)})")
    return None


def raised(error: psycopg2.Error, place: str) -> Exception:
    """Return what to raise for a driver's error: the host's, or peewee's of the same name."""
    known = storage_error(error, place)
    if known is not None:
        return known
    for base in type(error).__mro__:
        wrapper: type[Exception] | None = getattr(peewee, base.__name__, None)
        if wrapper is not None and issubclass(wrapper, peewee.PeeweeException):
            return wrapper(error, *error.args)
    return peewee.DatabaseError(error, *error.args)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
