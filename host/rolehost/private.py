"""Folders, files and sockets that only the current user can use.

Each is created with its final mode (mkdir(2), open(2), on Linux also bind(2)), to which a umask
cannot add rights. A path that exists is checked before it is used.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rolehost.errors import StartError

_OTHERS = 0o077


class NotPrivate(StartError):
    """A file, folder or socket is not the current user's, or other users can use it.

    The message is one line: path, error, fix. Since plugin API 2.
    """


def private_folder(path: Path) -> Path:
    """Create a folder that only the current user can use (mode 0700), if it does not exist.

    Since plugin API 2.

    Raises:
        NotPrivate: the path is not a folder (or is a symbolic link), belongs to another
            user, or other users can use it.
        OSError: the folder cannot be created.
    """
    _make_folder(path, parents=False)
    try:
        found = path.lstat()
    except FileNotFoundError:  # another process has just removed it, empty
        return private_folder(path)
    _check_kind(path, found, stat.S_ISDIR, "a folder")
    _check_owner(path, found)
    if found.st_mode & _OTHERS:
        raise NotPrivate(
            f"{path}: other users can use this folder (mode {stat.S_IMODE(found.st_mode):04o});"
            f" remove it, or make it private if its content can be trusted: chmod 700 {path}"
        )
    return path


def safe_folder(path: Path) -> Path:
    """Create a folder for private files, if it does not exist; other users may list it.

    A new folder gets the mode 0700, and so do missing folders above it. In a folder that exists,
    other users cannot open private files, and this function checks that they cannot replace them.
    Since plugin API 2.

    Raises:
        NotPrivate: the path is not a folder, belongs to neither the current user nor root, or every
            user can replace files in it (writable by all, without the sticky bit).
        OSError: the folder cannot be created.
    """
    _make_folder(path, parents=True)
    found = path.stat()
    _check_kind(path, found, stat.S_ISDIR, "a folder")
    if found.st_uid != 0:
        _check_owner(path, found)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise NotPrivate(
            f"{path}: every user can replace files in this folder (mode"
            f" {stat.S_IMODE(found.st_mode):04o}); chmod o-w {path}, or use a new folder in it"
        )
    return path


def private_file(path: Path) -> int:
    """Open a file for reading and writing that only the current user can open (mode 0600).

    A missing file is created. If the current user owns the file and other users can open it, its
    mode is changed. Never use it on a file that SQLite has open: closing any descriptor of a file
    drops SQLite's locks (https://www.sqlite.org/howtocorrupt.html, section 2.2). Since plugin
    API 2.

    Returns:
        A file descriptor, not inherited by programs that this process executes.

    Raises:
        NotPrivate: the path belongs to another user, is not a regular file, or is a symbolic
            link.
        OSError: the file cannot be opened or created.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        check_file(path)  # raises a better error if the file is the reason
        raise
    try:
        found = os.fstat(descriptor)
        _check_kind(path, found, stat.S_ISREG, "a file")
        _check_owner(path, found)
        if stat.S_IMODE(found.st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: Path) -> bool:
    """Return whether a path exists; check that it is a regular file of the current user.

    The file is not opened. Since plugin API 2.

    Raises:
        NotPrivate: the path belongs to another user, or is not a regular file.
    """
    return _is_mine(path, stat.S_ISREG, "a file")


def bind_private(listener: socket.socket, path: Path) -> None:
    """Bind a Unix socket to a path so that only the current user can connect (mode 0600).

    On Linux the socket has this mode from the beginning (unix(7)). On other systems it gets the
    mode afterwards: use a private folder there. Since plugin API 2.

    Raises:
        OSError: the address is in use, or the socket cannot be created.
    """
    with suppress(OSError):  # only Linux allows this before bind(2)
        os.fchmod(listener.fileno(), 0o600)
    listener.bind(str(path))
    if stat.S_IMODE(path.lstat().st_mode) != 0o600:
        path.chmod(0o600)


def check_socket(path: Path) -> bool:
    """Return whether the path exists; NotPrivate if it is not a socket of the current user."""
    return _is_mine(path, stat.S_ISSOCK, "a socket")


def peer_user(connection: socket.socket) -> int | None:
    """Return the effective user id of a Unix socket's peer; None: the system does not offer it.

    ``SO_PEERCRED`` of unix(7) on Linux, ``LOCAL_PEERCRED`` of unix(4) on macOS and FreeBSD.
    """
    try:
        if hasattr(socket, "SO_PEERCRED"):
            held = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return int.from_bytes(held[4:8], sys.byteorder)  # struct ucred: pid, uid, gid
        if hasattr(socket, "LOCAL_PEERCRED"):
            held = connection.getsockopt(0, socket.LOCAL_PEERCRED, 76)
            return int.from_bytes(held[4:8], sys.byteorder)  # struct xucred: version, uid, groups
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL):
            raise
    return None


def _make_folder(path: Path, *, parents: bool) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        if not parents or path.parent == path:
            raise
        # mkdir(parents=True) would give the folders above the mode that the umask leaves.
        _make_folder(path.parent, parents=True)
        _make_folder(path, parents=True)
        return
    with suppress(FileNotFoundError):  # another process has just removed it, empty
        if path.lstat().st_mode & 0o700 != 0o700:
            path.chmod(0o700)  # the umask took rights from the owner


def _is_mine(path: Path, is_kind: Callable[[int], bool], kind: str) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    _check_kind(path, found, is_kind, kind)
    _check_owner(path, found)
    return True


def _check_kind(
    path: Path, found: os.stat_result, is_kind: Callable[[int], bool], kind: str
) -> None:
    if not is_kind(found.st_mode):
        raise NotPrivate(f"{path}: expected {kind}, found {_kind_of(found)}; remove it")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        owner = _user(found.st_uid)
        raise NotPrivate(
            f"{path}: {_kind_of(found)} belongs to the user {owner}, not to {_user(os.geteuid())};"
            f" run rolehost as {owner}, or remove it"
        )


def _kind_of(found: os.stat_result) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a regular file",
        stat.S_IFSOCK: "a socket",
        stat.S_IFIFO: "a named pipe",
    }
    return kinds.get(stat.S_IFMT(found.st_mode), "a device")


def _user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)
