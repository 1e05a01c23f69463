"""Where the database file is, and who can open it.

Refused in one clear line when SQLite could not work there. The file and those that SQLite puts
beside it belong to the current user alone (0600): they hold the data of every plugin, secrets of
receivers included.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

from rolehost.api import NotPrivate, StorageRefused, check_file, private_file, safe_folder

log = logging.getLogger("rolehost.embedded")

#: What SQLite puts beside a database (https://www.sqlite.org/tempfiles.html), after its name. It
#: gives them the mode of the database.
_BESIDE = ("-wal", "-shm", "-journal")

#: Held while a database file is made, so that no other thread has it open when it is closed.
_making = threading.Lock()

#: File systems on which SQLite's shared memory and locks do not work among machines.
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


def refused(text: object) -> StorageRefused:
    """Return the error for a path where no database can be."""
    setting = "[embedded] path"
    return StorageRefused(f"embedded: {setting}: {text}", backend="embedded", setting=setting)


def absolute(path: Path) -> Path:
    """Return the absolute path of a database file.

    Raises:
        StorageRefused: the path means memory, which processes cannot share, or is a symbolic
            link of another user.
    """
    if path.name in ("", ":memory:") or path.name.startswith("file:"):
        raise refused(
            f"{str(path)!r} is no path of a database file: processes share the database through"
            " a file; give a path"
        )
    named = path.expanduser()
    if named.is_symlink() and named.lstat().st_uid not in (os.geteuid(), 0):
        raise refused(f"{named}: a symbolic link of another user is in its place; remove it")
    return Path(os.path.realpath(named))


def prepare(path: Path) -> None:
    """Make a database file and its folder when they are missing, and check that they can be used.

    Raises:
        StorageRefused: the folder cannot be made, access is denied, the path is a folder, lies
            on a network file system, or a file of another user is there.
    """
    try:
        safe_folder(path.parent)
    except NotPrivate as error:
        raise refused(error) from error
    except OSError as error:
        raise refused(f"{path}: the folder cannot be made: {error.strerror}") from error
    if path.is_dir():
        raise refused(f"{path}: this is a folder, not a database file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise refused(f"{path}: no permission to read and write the database")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise refused(f"{path}: no permission to write in its folder")
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise refused(
            f"{path}: this is a network file system ({kind}), on which SQLite loses writes;"
            " use a local disk, or a database server"
        )
    create(path)


def create(path: Path) -> None:
    """Make an empty database file unless there is one, and check what lies there.

    SQLite itself would make it with the mode that the umask leaves.

    Raises:
        StorageRefused: a file of another user, or no regular file, is in its place or in that of
            one beside it.
    """
    try:
        for suffix in _BESIDE:
            check_file(path.with_name(path.name + suffix))
        with _making:
            if not check_file(path):
                os.close(private_file(path))
    except NotPrivate as error:
        raise refused(error) from error
    except OSError as error:
        raise refused(f"{path}: cannot be made: {error.strerror}") from error


def close_to_others(path: Path) -> None:
    """Take the rights of other users from a database that an earlier version left open to them.

    Only after SQLite has read it, so that a wrong path changes the mode of no other file.
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
    """Return the type of the file system that holds a folder, or "" where it cannot be told.

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
