"""The path of the database file, and its access rights.

A path where SQLite cannot work is refused with one clear error. Only the current user may read
the file and those that SQLite puts beside it (0600): they hold the data of every plugin, for
example secrets.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

from rolehost.api import NotPrivate, StorageRefused, check_file, private_file, safe_folder

log = logging.getLogger("rolehost.embedded")

#: Suffixes of the files that SQLite puts beside a database, with the database's mode
#: (https://www.sqlite.org/tempfiles.html).
_BESIDE = ("-wal", "-shm", "-journal")

#: Held while a database file is created, so that no other thread has it open when it is closed.
_creating = threading.Lock()

#: File systems on which SQLite's shared memory and locks do not work between machines.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    }
)


def path_refused(text: object) -> StorageRefused:
    """Return the error for a path that cannot hold a database."""
    setting = "[embedded] path"
    return StorageRefused(f"embedded: {setting}: {text}", backend="embedded", setting=setting)


def absolute(path: Path) -> Path:
    """Return the absolute path of a database file.

    Raises:
        StorageRefused: the path is SQLite's name for memory, which processes cannot share, or a
            symbolic link of another user.
    """
    if path.name in ("", ":memory:") or path.name.startswith("file:"):
        raise path_refused(
            f"{str(path)!r} is not the path of a file: processes share the database through a"
            " file; set a path"
        )
    named = path.expanduser()
    if named.is_symlink() and named.lstat().st_uid not in (os.geteuid(), 0):
        raise path_refused(f"{named}: a symbolic link of another user is in its place; remove it")
    return Path(os.path.realpath(named))


def prepare(path: Path) -> None:
    """Create a database file and its folder if they are missing, and check them.

    Raises:
        StorageRefused: the folder cannot be created, access is denied, the path is a folder or
            on a network file system, or a file of another user is there.
    """
    try:
        safe_folder(path.parent)
    except NotPrivate as error:
        raise path_refused(error) from error
    except OSError as error:
        raise path_refused(f"{path}: the folder cannot be created: {error.strerror}") from error
    if path.is_dir():
        raise path_refused(f"{path}: this is a folder, not a database file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise path_refused(f"{path}: no permission to read and write the database")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise path_refused(f"{path}: no permission to write in its folder")
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise path_refused(
            f"{path}: this is a network file system ({kind}), on which SQLite loses writes;"
            " use a local disk, or a database server"
        )
    create(path)


def create(path: Path) -> None:
    """Create an empty database file if it is missing, and check an existing one.

    SQLite itself would create the file with the mode that the umask leaves.

    Raises:
        StorageRefused: the database, or a file that SQLite puts beside it, exists and belongs to
            another user or is not a regular file.
    """
    try:
        for suffix in _BESIDE:
            check_file(path.with_name(path.name + suffix))
        with _creating:
            if not check_file(path):
                os.close(private_file(path))
    except NotPrivate as error:
        raise path_refused(error) from error
    except OSError as error:
        raise path_refused(f"{path}: cannot be created: {error.strerror}") from error


def make_private(path: Path) -> None:
    """Remove the rights of other users from a database of an earlier version.

    Call it after SQLite has read the file, so that a wrong path changes no other file's mode.
    """
    for each in (path, *(path.with_name(path.name + suffix) for suffix in _BESIDE)):
        try:
            mode = stat.S_IMODE(each.lstat().st_mode)
            if mode & 0o077:
                each.chmod(0o600)
                log.warning("%s was open to other users (mode %04o); now it is 0600", each, mode)
        except FileNotFoundError:
            continue


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system of a folder, or "" if it is not known.

    Args:
        folder: an existing folder.
        mounts: the kernel's list of mounts (proc_pid_mountinfo(5)).
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    resolved = Path(os.path.realpath(folder))
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if len(point.parts) >= best and resolved.is_relative_to(point):
            best, kind = len(point.parts), after.split(" ")[0]
    return kind
