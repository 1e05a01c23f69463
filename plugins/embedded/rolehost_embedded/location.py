"""Where the database file is: refused in one clear line when SQLite could not work there."""

from __future__ import annotations

import os
from pathlib import Path

from rolehost.api import StorageRefused

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


def _refused(text: str) -> StorageRefused:
    setting = "[embedded] path"
    return StorageRefused(f"embedded: {setting}: {text}", backend="embedded", setting=setting)


def absolute(path: Path) -> Path:
    """Return the absolute path of a database file.

    Raises:
        StorageRefused: the path means memory, which processes cannot share.
    """
    if path.name in ("", ":memory:") or path.name.startswith("file:"):
        raise _refused(
            f"{str(path)!r} is no path of a database file: processes share the database through"
            " a file; give a path"
        )
    return Path(os.path.realpath(path.expanduser()))


def prepare(path: Path) -> None:
    """Make the folder of a database file and see that the file can be used.

    Raises:
        StorageRefused: the folder cannot be made, access is denied, the path is a folder, or
            lies on a network file system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(f"{path}: the folder cannot be made: {error.strerror}") from error
    if path.is_dir():
        raise _refused(f"{path}: this is a folder, not a database file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise _refused(f"{path}: no permission to read and write the database")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _refused(f"{path}: no permission to write in its folder")
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise _refused(
            f"{path}: this is a network file system ({kind}), on which SQLite loses writes;"
            " use a local disk, or a database server"
        )


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
