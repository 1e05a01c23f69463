"""Wake-ups among the threads and processes of one machine, without polling.

Every listener has a Unix datagram socket in a folder that is derived from the database's path,
and for each name it listens to a link to that socket in a folder of the name. Waking a name
sends a datagram to each link there. A socket that is full belongs to somebody who is awake
already; one whose owner died refuses, and is removed by whoever notices.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import math
import os
import select
import socket
import stat
import struct
import tempfile
import termios
import threading
import time
from collections.abc import Collection
from pathlib import Path

from rolehost.api import Listener, StorageUnavailable

#: A folder's time of change has the granularity of the kernel's tick (up to 10 ms); a listing
#: younger than this many nanoseconds is not relied on.
_TICK = 50_000_000
#: Largest name in bytes; more would be cut off by the receiver.
_LONGEST = 4096
_numbers = itertools.count(1)


class Wakes:
    """Sends and receives the wake-ups of one database file. Thread-safe.

    Args:
        path: the database file; its absolute path says who belongs together.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: Path | None = None
        self._known: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._socket: socket.socket | None = None
        self._buffer = 0
        self._closed = False
        self._guard = threading.Lock()
        self._listeners: set[WakeListener] = set()

    def wake(self, names: Collection[str]) -> None:
        """Wake all listeners of these names. Never blocks, never raises."""
        if self._closed:
            return
        try:
            sender = self._sender()
            for name in names:
                for target in self._targets(name):
                    self._send(sender, name.encode(), target)
        except (OSError, StorageUnavailable):
            return  # a wake-up may be lost: whoever waits looks by itself now and then

    def listen(self, names: Collection[str]) -> WakeListener:
        """Listen for these names from now on.

        Raises:
            StorageUnavailable: the folder of sockets cannot be used.
        """
        folder = self._ensure_folder()
        listener = WakeListener(self, folder, frozenset(names))
        with self._guard:
            self._listeners.add(listener)
        return listener

    def forget(self, listener: WakeListener) -> None:
        """Note that a listener closed."""
        with self._guard:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Close all listeners and the sender. Idempotent, never raises."""
        with self._guard:
            self._closed = True
            listeners = list(self._listeners)
            sender, self._socket = self._socket, None
        for listener in listeners:
            listener.close()
        if sender is not None:
            sender.close()

    def _ensure_folder(self) -> Path:
        if self._folder is None:
            self._folder = _private_folder(self._path)
        return self._folder

    def _sender(self) -> socket.socket:
        if self._socket is None:
            with self._guard:
                if self._socket is None:
                    made = _datagram_socket()
                    self._buffer = made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                    self._socket = made
        return self._socket

    def _targets(self, name: str) -> tuple[str, ...]:
        """Return the links of a name, from memory unless the folder has changed since."""
        folder = folder_of(self._ensure_folder(), name)
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return ()  # nobody ever listened to it
        known = self._known.get(name)
        if known is not None and known[0] == changed:
            return known[1]
        now = time.time_ns()
        targets = tuple(str(folder / entry) for entry in os.listdir(folder))  # noqa: PTH208
        if now - changed > _TICK:
            self._known[name] = (changed, targets)
        return targets

    def _send(self, sender: socket.socket, payload: bytes, target: str) -> None:
        try:
            sender.sendto(payload, target)
        except BlockingIOError:
            # This listener is full and so awake already; unless listeners that do not read
            # hold all the buffer of our socket, in which case another socket can send.
            if _unread(sender) > self._buffer // 2:
                with contextlib.suppress(OSError), _datagram_socket() as another:
                    another.sendto(payload, target)
        except (ConnectionRefusedError, FileNotFoundError):
            _remove(target)


class WakeListener(Listener):
    """Waits on a socket of its own."""

    def __init__(self, wakes: Wakes, folder: Path, names: frozenset[str]) -> None:
        self._wakes = wakes
        self._names = names
        self._closed = False
        self._full = _queue_length()
        self._path = str(folder / f"{os.getpid():x}-{next(_numbers):x}.s")
        self._links: list[str] = []
        self._socket = _datagram_socket()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            _remove(self._path)  # left by a dead process that had our number
            self._socket.bind(self._path)
            for name in names:
                self._links.append(self._link(folder_of(folder, name)))
        except OSError as error:
            self.close()
            raise StorageUnavailable(f"{folder}: cannot listen for wake-ups: {error}") from error

    def _link(self, folder: Path) -> str:
        folder.mkdir(mode=0o700, exist_ok=True)
        link = folder / Path(self._path).name
        _remove(str(link))
        link.symlink_to(self._path)
        return str(link)

    def wait(self, timeout: float) -> frozenset[str]:
        """See :meth:`rolehost.api.Listener.wait`."""
        received = self._drain()
        if not received and timeout > 0:
            self._poll.poll(math.ceil(timeout * 1000))
            received = self._drain()
        if len(received) >= self._full:
            return self._names  # the queue was full: names that did not fit in may be lost
        return frozenset(payload.decode() for payload in received if payload)

    def _drain(self) -> list[bytes]:
        received = []
        with contextlib.suppress(OSError):  # empty, or closed by another thread
            while True:
                received.append(self._socket.recv(_LONGEST))
        return received

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Listener.interrupt`."""
        with contextlib.suppress(OSError):  # full: it has a reason to wake already
            self._socket.sendto(b"", self._path)

    def close(self) -> None:
        """See :meth:`rolehost.api.Listener.close`."""
        if self._closed:
            return
        self._closed = True
        self.interrupt()
        for path in (*self._links, self._path):
            _remove(path)
        self._socket.close()
        self._wakes.forget(self)


def folder_of(folder: Path, name: str) -> Path:
    """Return the folder with the links of everybody who listens to a name."""
    return folder / hashlib.blake2s(name.encode(), digest_size=8).hexdigest()


def _private_folder(path: Path) -> Path:
    """Make the folder of a database's sockets; nobody else may read or write it.

    It is in the runtime or temporary directory because a socket's path holds 108 bytes.
    """
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.blake2s(os.fsencode(os.path.realpath(path)), digest_size=10).hexdigest()
    folder = base / f"rolehost-{os.getuid()}-{digest}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StorageUnavailable(f"{folder}: cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StorageUnavailable(
            f"{folder}: this is not a folder that only the current user may use; remove it"
        )
    return folder


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _unread(sender: socket.socket) -> int:
    """Return how many bytes of a socket's buffer wait in other sockets (tty_ioctl(4))."""
    (held,) = struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))
    return int(held)


def _queue_length() -> int:
    """Return how many datagrams a socket holds before it is full (unix(7))."""
    try:
        return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    except (OSError, ValueError):
        return 10


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a text already, on the way of every commit
