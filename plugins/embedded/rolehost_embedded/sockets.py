"""Unix datagram sockets in a folder that only the current user may enter."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import struct
import tempfile
import termios
from pathlib import Path

from rolehost.api import NotPrivate, StorageRefused, StorageUnavailable, private_folder

#: Maximum bytes of a directory, so that the rest of a socket's path fits.
_MAX_BASE = 40


def links_folder(folder: Path, name: str) -> Path:
    """Return the folder with the links of all listeners of a name."""
    return folder / hashlib.blake2s(name.encode(), digest_size=6).hexdigest()


def socket_folder(path: Path) -> Path:
    """Create the folder of a database's sockets, and return it.

    It is in ``$XDG_RUNTIME_DIR`` or in the temporary directory, not beside the database, because
    the path of a socket has 108 bytes at most.

    Raises:
        StorageUnavailable: the folder cannot be created.
        StorageRefused: the folder belongs to another user, or other users may enter it.
    """
    digest = hashlib.blake2s(os.fsencode(os.path.realpath(path)), digest_size=8).hexdigest()
    bases = (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp")
    base = next((base for base in bases if base and len(os.fsencode(base)) <= _MAX_BASE), "/tmp")
    folder = Path(base) / f"rolehost-{os.getuid()}-{digest}"
    try:
        return private_folder(folder)
    except NotPrivate as error:
        raise StorageRefused(f"embedded: wake-ups: {error}", backend="embedded") from error
    except OSError as error:
        raise StorageUnavailable(f"{folder}: cannot be created: {error.strerror}") from error


def datagram_socket() -> socket.socket:
    """Return a datagram socket that never blocks."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def unread_bytes(sender: socket.socket) -> int:
    """Return how many bytes of a socket's buffer wait to be read (tty_ioctl(4))."""
    (held,) = struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))
    return int(held)


def queue_length() -> int:
    """Return how many datagrams a socket holds before it is full (unix(7))."""
    try:
        return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    except (OSError, ValueError):
        return 10


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a text already, on the way of every commit


def remove_if_empty(folder: Path) -> None:
    """Remove a folder if it is empty; a later use creates it again."""
    with contextlib.suppress(OSError):
        folder.rmdir()
