"""The file of a database in memory, and its connections.

SQLite's databases in memory cannot be read during a write. So this is a file with a write-ahead
log, in a file system in memory if there is one. The index of the log is on the heap (the VFS
``unix-excl``, https://www.sqlite.org/vfs.html), and nothing is synced. A transaction costs some
microseconds, and readers see the same as with a real database.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path

from rolehost.private import private_file

#: Linux's file system in memory.
_SHARED_MEMORY = Path("/dev/shm")
_PREFIX = "rolehost-memory-"

_numbers = itertools.count(1)
_folders: dict[int, Path] = {}
_guard = threading.Lock()


def folder() -> Path:
    """Return the folder of this process's databases, which is removed when the process ends.

    The next process removes the folders of killed processes.
    """
    with _guard:
        pid = os.getpid()
        if pid not in _folders:
            base = _base()
            _sweep(base)
            made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{pid}-", dir=base))
            _folders[pid] = made
            # The finalizer belongs to the class, which lives as long as the module. So it runs when
            # the interpreter ends, if not before.
            weakref.finalize(Store, shutil.rmtree, made, ignore_errors=True)
        return _folders[pid]


def _base() -> Path:
    usable = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
    return _SHARED_MEMORY if usable else Path(tempfile.gettempdir())


def _sweep(base: Path) -> None:
    for left in base.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Store:
    """One database file and the lock of its writers.

    Attributes:
        path: the file.
        writing: the lock of write transactions.
        migrating: the lock of migrations.
        commits: how many write transactions were committed.
    """

    def __init__(self) -> None:
        self.path = folder() / f"{next(_numbers)}.db"
        os.close(private_file(self.path))
        self.writing = threading.Lock()
        self.migrating = threading.RLock()
        self.commits = 0
        self.idle: list[sqlite3.Connection] = []
        self._opened: list[sqlite3.Connection] = []

    @property
    def uri(self) -> str:
        """The URI of the database."""
        vfs = "?vfs=unix-excl" if os.name == "posix" else ""
        return f"file:{self.path}{vfs}"

    def opened(self, connection: sqlite3.Connection) -> None:
        """Register a connection; :meth:`remove` closes it."""
        self._opened.append(connection)

    def fill(self, image: bytes) -> None:
        """Start with the content of another database, before the first connection."""
        self.path.write_bytes(image)

    def image(self) -> bytes:
        """Return the content for :meth:`fill` of another store; no write may be in progress."""
        self.close_idle()
        return self.path.read_bytes()

    def close_idle(self) -> None:
        """Close the idle connections; the last one empties the log."""
        while self.idle:
            connection = self.idle.pop()
            self._opened.remove(connection)
            connection.close()

    def remove(self) -> None:
        """Close every connection and delete the file."""
        self.idle.clear()
        while self._opened:
            self._opened.pop().close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").unlink()
