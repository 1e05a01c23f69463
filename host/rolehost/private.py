"""Folders, files and sockets that only the current user can use, from the moment they exist.

Each is created with its final mode (mkdir(2), open(2), bind(2)), so there is no moment at which
others can open it, and no umask can widen it. What is there already is checked before it is used:
a thing that another user placed there is an error.

Of the standard library alone, because the supervisor imports it.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

from rolehost.errors import StartError

#: Mode bits of group and others.
_OTHERS = 0o077


class NotPrivate(StartError):
    """A file, folder or socket in this place is not the current user's, or others can use it.

    The message is one line: path, what is wrong, how to fix it. Since plugin API 2.
    """


def private_folder(path: Path) -> Path:
    """Make a folder that only the current user can use (0700), unless there is one.

    Since plugin API 2.

    Returns:
        The path.

    Raises:
        NotPrivate: what is there belongs to another user, is no folder (a symbolic link
            included), or others can use it.
        OSError: it cannot be made.
    """
    _make_folder(path, parents=False)
    try:
        found = path.lstat()
    except FileNotFoundError:  # another process has just removed it, empty
        return private_folder(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{path}: {kind_of(found)} is in the place of a folder; remove it")
    _check_owner(path, found)
    if found.st_mode & _OTHERS:
        raise NotPrivate(
            f"{path}: other users can use this folder (mode {stat.S_IMODE(found.st_mode):04o});"
            f" remove it, or close it if its content can be trusted: chmod 700 {path}"
        )
    return path


def shelter_folder(path: Path) -> Path:
    """Make a folder for private files, unless there is one; it may be the user's own, and open.

    One that is made gets the mode 0700, and so do the missing folders above it. Others can list
    an open one, but not open the private files in it. Since plugin API 2.

    Returns:
        The path.

    Raises:
        NotPrivate: it is no folder, it belongs to neither the current user nor root, or everybody
            can replace files in it (writable by all, without the sticky bit).
        OSError: it cannot be made.
    """
    _make_folder(path, parents=True)
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{path}: {kind_of(found)} is in the place of a folder; remove it")
    if found.st_uid not in (os.geteuid(), 0):
        _check_owner(path, found)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise NotPrivate(
            f"{path}: every user can replace files in this folder (mode"
            f" {stat.S_IMODE(found.st_mode):04o}); chmod o-w {path}, or use a new folder in it"
        )
    return path


def _make_folder(path: Path, *, parents: bool) -> None:
    """Make a folder with the mode 0700; what is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        if not parents or path.parent == path:
            raise
        _make_folder(path.parent, parents=True)
        _make_folder(path, parents=True)
        return
    with suppress(FileNotFoundError):  # another process has just removed it, empty
        if path.lstat().st_mode & 0o700 != 0o700:
            path.chmod(0o700)  # the umask took rights from the owner


def private_file(path: Path) -> int:
    """Open a file for reading and writing that only the current user can open (0600).

    It is made when it is missing. One of the current user that others can open is closed to them.
    Never use it on a file that SQLite has open: closing any descriptor of it drops SQLite's locks
    (https://www.sqlite.org/howtocorrupt.html, section 2.2). Since plugin API 2.

    Returns:
        A file descriptor, not inherited by programs that this process executes.

    Raises:
        NotPrivate: what is there belongs to another user, or is no regular file (a symbolic link
            included).
        OSError: it cannot be opened or made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        check_file(path)  # says whose it is, or what it is
        raise
    try:
        check_file(path, os.fstat(descriptor))
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: Path, found: os.stat_result | None = None) -> bool:
    """Check that a path is free, or holds a regular file of the current user.

    Opens nothing. Since plugin API 2.

    Args:
        path: the file.
        found: its status; None looks, and does not follow a symbolic link.

    Returns:
        Whether it is there.

    Raises:
        NotPrivate: it belongs to another user or is no regular file.
    """
    if found is None:
        try:
            found = path.lstat()
        except OSError:
            return False
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivate(f"{path}: {kind_of(found)} is in the place of a file; remove it")
    _check_owner(path, found)
    return True


def bind_private(listener: socket.socket, path: Path) -> None:
    """Bind a Unix socket to a path so that only the current user can connect (0600).

    On Linux the mode of the socket itself is that of the file from its first moment (unix(7)).
    Elsewhere it is set afterwards: there, use a private folder. Since plugin API 2.

    Raises:
        OSError: the address is in use, or cannot be made.
    """
    with suppress(OSError):  # only Linux lets the mode be set before
        os.fchmod(listener.fileno(), 0o600)
    listener.bind(str(path))
    if stat.S_IMODE(path.lstat().st_mode) != 0o600:
        path.chmod(0o600)


def check_socket(path: Path) -> bool:
    """Check that a path is free, or holds a socket of the current user.

    Returns:
        Whether it is there.

    Raises:
        NotPrivate: it belongs to another user or is no socket.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise NotPrivate(f"{path}: {kind_of(found)} is in the place of a socket; remove it")
    _check_owner(path, found)
    return True


def peer_user(connection: socket.socket) -> int | None:
    """Return the user id of the process at the other end of a Unix stream socket.

    ``SO_PEERCRED`` of unix(7) on Linux, ``LOCAL_PEERCRED`` of unix(4) on macOS and FreeBSD.

    Returns:
        The effective user id; None where the system does not tell.
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


def kind_of(found: os.stat_result) -> str:
    """Return what a file is, with its article: ``a symbolic link``."""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a regular file",
        stat.S_IFSOCK: "a socket",
        stat.S_IFIFO: "a named pipe",
    }
    return kinds.get(stat.S_IFMT(found.st_mode), "a device")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        owner = _user(found.st_uid)
        raise NotPrivate(
            f"{path}: {kind_of(found)} of user {owner} is in the place of one of"
            f" {_user(os.geteuid())}; run rolehost as {owner} if it is meant, else remove it"
        )


def _user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)
