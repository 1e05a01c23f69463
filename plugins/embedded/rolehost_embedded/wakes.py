"""Wake-ups among the threads and processes of one machine, without polling.

Every listener has a Unix datagram socket in a folder that is derived from the database's path.
For each name that it listens for, it has a link to that socket in the folder of the name. Waking a
name sends a datagram to each link in the folder. If a socket is full, its listener is awake
already. If a socket refuses the datagram, its listener died, and the sender removes the link.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import select
import socket
import threading
import time
from collections.abc import Collection
from pathlib import Path

from rolehost.api import Listener, StorageUnavailable, bind_private, private_folder

from rolehost_embedded.sockets import (
    datagram_socket,
    links_folder,
    queue_length,
    remove,
    remove_if_empty,
    socket_folder,
    unread_bytes,
)

#: The time of change of a folder has the granularity of the kernel's tick, up to 10 ms. So a
#: listing younger than this many nanoseconds is not reused.
_TICK = 50_000_000
#: How often making a listener is tried if its folder is removed at the same time.
_TRIES = 100
#: Maximum bytes of a name; the receiver truncates longer names.
_MAX_NAME = 4096
_numbers = itertools.count(1)


class Wakes:
    """Sends and receives the wake-ups of one database file. Thread-safe.

    Args:
        path: the database file; its absolute path identifies the deployment.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: Path | None = None
        self._folders: dict[str, str] = {}
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
            return  # a wake-up may be lost, because listeners also poll

    def listen(self, names: Collection[str]) -> WakeListener:
        """Listen for these names from now on.

        Raises:
            StorageUnavailable: the folder of sockets cannot be used.
        """
        for _ in range(_TRIES):
            folder = self._folder = socket_folder(self._path)  # the last listener removes it
            self._folders.clear()
            try:
                listener = WakeListener(self, folder, frozenset(names))
            except FileNotFoundError:
                continue  # the last listener of another process has just closed
            with self._guard:
                self._listeners.add(listener)
            return listener
        raise StorageUnavailable(f"{self._folder}: was removed again and again")

    def forget(self, listener: WakeListener) -> None:
        """Remove a listener that was closed."""
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
        if self._folder is not None:
            remove_if_empty(self._folder)

    def _ensure_folder(self) -> Path:
        if self._folder is None:
            self._folder = socket_folder(self._path)
        return self._folder

    def _sender(self) -> socket.socket:
        if self._socket is None:
            with self._guard:
                if self._socket is None:
                    made = datagram_socket()
                    self._buffer = made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                    self._socket = made
        return self._socket

    def _targets(self, name: str) -> tuple[str, ...]:
        """Return the links of a name, from memory if the folder has not changed."""
        # PERF: these are strings, not paths, because every commit runs this.
        folder = self._folders.get(name)
        if folder is None:
            folder = self._folders[name] = str(links_folder(self._ensure_folder(), name))
        try:
            changed = os.stat(folder).st_mtime_ns  # noqa: PTH116
        except FileNotFoundError:
            return ()  # the name has no listener
        known = self._known.get(name)
        if known is not None and known[0] == changed:
            return known[1]
        now = time.time_ns()
        try:
            targets = tuple(f"{folder}/{entry}" for entry in os.listdir(folder))  # noqa: PTH208
        except FileNotFoundError:
            return ()
        if now - changed > _TICK:
            self._known[name] = (changed, targets)
        return targets

    def _send(self, sender: socket.socket, payload: bytes, target: str) -> None:
        try:
            sender.sendto(payload, target)
        except BlockingIOError:
            # Either this listener is full, and so awake already, or listeners that do not read fill
            # the buffer of this sender; then another socket can send.
            if unread_bytes(sender) > self._buffer // 2:
                with contextlib.suppress(OSError), datagram_socket() as another:
                    another.sendto(payload, target)
        except (ConnectionRefusedError, FileNotFoundError):
            remove(os.path.realpath(target))  # the target of the link
            remove(target)


class WakeListener(Listener):
    """Waits on its own socket.

    Raises:
        FileNotFoundError: a folder was removed at the same time; try again.
        StorageUnavailable: the folder of sockets cannot be used.
    """

    def __init__(self, wakes: Wakes, folder: Path, names: frozenset[str]) -> None:
        self._wakes = wakes
        self._names = names
        self._closed = False
        self._full = queue_length()
        self._path = str(folder / f"{os.getpid():x}-{next(_numbers):x}.s")
        self._links: list[str] = []
        self._socket = datagram_socket()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            remove(self._path)  # left by a dead process with this process id
            bind_private(self._socket, Path(self._path))
            for name in names:
                self._links.append(self._link(links_folder(folder, name)))
        except FileNotFoundError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise StorageUnavailable(f"{folder}: cannot listen for wake-ups: {error}") from error

    def _link(self, folder: Path) -> str:
        private_folder(folder)
        link = folder / Path(self._path).name
        remove(str(link))
        link.symlink_to(self._path)
        return str(link)

    def wait(self, timeout: float) -> frozenset[str]:
        """See :meth:`rolehost.api.Listener.wait`."""
        received = self._drain()
        if not received and timeout > 0:
            self._poll.poll(math.ceil(timeout * 1000))
            received = self._drain()
        if len(received) >= self._full:
            return self._names  # the queue was full, so names may be lost
        return self._names.intersection(payload.decode() for payload in received)

    def _drain(self) -> list[bytes]:
        received = []
        with contextlib.suppress(OSError):  # empty, or closed by another thread
            while True:
                received.append(self._socket.recv(_MAX_NAME))
        return received

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Listener.interrupt`."""
        with contextlib.suppress(OSError):  # full: the listener wakes already
            self._socket.sendto(b"", self._path)

    def close(self) -> None:
        """See :meth:`rolehost.api.Listener.close`."""
        if self._closed:
            return
        self._closed = True
        self.interrupt()
        for path in (*self._links, self._path):
            remove(path)
        for path in (*self._links, self._path):
            remove_if_empty(Path(path).parent)
        self._socket.close()
        self._wakes.forget(self)
