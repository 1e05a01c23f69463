"""The host's errors for SQLite's errors, with the path of the file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import peewee
from rolehost.api import StorageBusy, StorageError, StorageRefused, StorageUnavailable

#: SQLite's primary result codes (https://www.sqlite.org/rescode.html) with the host's errors.
_BUSY = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another statement",
}
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an input/output error",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_READONLY: "the database or its folder is read-only",
    sqlite3.SQLITE_PERM: "access to the database is denied",
}
_PERMANENT = {
    sqlite3.SQLITE_NOTADB: "this file is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
}


def storage_error(error: BaseException, path: Path) -> StorageError | None:
    """Return the host's error if the storage itself failed, or None.

    Args:
        error: the driver's error, or peewee's error that wraps it.
    """
    cause = getattr(error, "orig", error) if isinstance(error, peewee.PeeweeException) else error
    if not isinstance(cause, sqlite3.Error):
        return None
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF  # the upper bits are details, for example the kind of input/output error
    detail = getattr(cause, "sqlite_errorname", "")
    for meanings, kind in ((_BUSY, StorageBusy), (_UNAVAILABLE, StorageUnavailable)):
        if primary in meanings:
            return kind(f"{path}: {meanings[primary]} ({detail})")
    if primary in _PERMANENT:
        return StorageRefused(
            f"embedded: [embedded] path: {path}: {_PERMANENT[primary]} ({detail})",
            backend="embedded",
            setting="[embedded] path",
        )
    return None


def translate_error(error: sqlite3.Error, path: Path) -> Exception:
    """Return the error to raise for a driver's error: the host's, or peewee's of the same name."""
    known = storage_error(error, path)
    if known is not None:
        return known
    wrapper: type[Exception] = getattr(peewee, type(error).__name__, peewee.DatabaseError)
    return wrapper(error, *error.args)
