"""The socket through which commands reach a running supervisor; only its own user can open it.

Both ends check each other: a command uses only a socket and a folder of its own user, and asks
the kernel who listens there; the supervisor drops connections of other users, except root.

Who connects is told at once which deployment this is; who then writes :data:`RELOAD` is told, a
JSON object a line, how the reload goes, and last ``result``.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rolehost.private import NotPrivate, bind_private, check_socket, peer_user, private_folder
from rolehost.redaction import masked

#: What a command writes to ask for a reload.
RELOAD = b"reload\n"

#: Connections that may wait to be accepted.
BACKLOG = 8

#: Name of the folder with the sockets of a user's supervisors, before the user's number.
FOLDER = "rolehost-supervisors-"

#: Given a description of how far something is, passes it on.
Tell = Callable[[dict[str, Any]], None]


def folder() -> Path:
    """Return where this user's supervisors have their sockets; they are named ``PID.sock``.

    It is in ``TMPDIR``, else in ``/tmp``, so that a command finds it without a setting.
    """
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"{FOLDER}{os.geteuid()}"


class Control:
    """The supervisor's end.

    Args:
        watch: has a function called whenever a descriptor can be read.
        forget: ends that.
        greeting: returns what is said to everybody who connects.
        reload: called with what tells the one who asked for it.
    """

    def __init__(
        self,
        watch: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], None],
        greeting: Callable[[], dict[str, Any]],
        reload: Callable[[Tell], None],
    ) -> None:
        self._watch = watch
        self._forget = forget
        self._greeting = greeting
        self._reload = reload
        self._path = folder() / f"{os.getpid()}.sock"
        self._socket: socket.socket | None = None
        self._clients: set[socket.socket] = set()

    def open(self) -> None:
        """Make the socket.

        Raises:
            NotPrivate: its folder, or what is in its place, is not the current user's alone.
            OSError: it cannot be made.

            Signals still reach the supervisor.
        """
        private_folder(self._path.parent)
        if check_socket(self._path):
            self._path.unlink()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            bind_private(made, self._path)
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
        self._socket = made
        self._watch(made.fileno(), self._accept)

    def close(self) -> None:
        """End it, and every connection."""
        for client in list(self._clients):
            self._drop(client)
        if self._socket is not None:
            self._forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        if peer_user(client) not in (None, os.geteuid(), 0):
            client.close()
            return
        client.setblocking(False)
        self._clients.add(client)
        self._watch(client.fileno(), partial(self._heard, client))
        self._tell(client, self._greeting())

    def _heard(self, client: socket.socket) -> None:
        try:
            asked = client.recv(len(RELOAD))
        except BlockingIOError:
            return
        except OSError:
            asked = b""
        if asked == RELOAD:
            self._reload(partial(self._tell, client))
        else:
            self._drop(client)

    def _tell(self, client: socket.socket, what: dict[str, Any]) -> None:
        if client not in self._clients:
            return
        try:
            client.sendall(masked(json.dumps(what)).encode() + b"\n")
        except OSError:
            # It is gone, or does not read: nobody waits for it.
            self._drop(client)
            return
        if "result" in what:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.discard(client)
        self._forget(client.fileno())
        client.close()


class RunningSupervisor:
    """A running supervisor, as a command sees it.

    Attributes:
        pid: its process id.
        name: name of its deployment.
        path: the deployment file, absolute; empty without one.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        greeting = json.loads(self._lines.readline())
        self.pid = int(greeting["pid"])
        self.name = str(greeting["name"])
        self.path = str(greeting["path"])

    def reload(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Ask for a reload; return what is told of it, last ``result`` unless it ends before.

        Args:
            timeout: seconds between two things that are told.

        Raises:
            TimeoutError: by the iterator: nothing came for so long; the reload goes on.
        """
        self._connection.settimeout(timeout)
        self._connection.sendall(RELOAD)
        return map(json.loads, self._lines)

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._connection.close()


def running_supervisors() -> list[RunningSupervisor]:
    """Return the running supervisors of this user, root included. Close them.

    Sockets that killed supervisors left behind are removed.

    Raises:
        NotPrivate: the folder of the sockets is not this user's alone.
    """
    mine = folder()
    if not os.path.lexists(mine):
        return []
    found = (_connected(path) for path in sorted(private_folder(mine).glob("*.sock")))
    return [each for each in found if each is not None]


def _connected(path: Path) -> RunningSupervisor | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5.0)
    try:
        check_socket(path)
        connection.connect(str(path))
        if peer_user(connection) in (None, os.geteuid()):
            return RunningSupervisor(connection)
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except (NotPrivate, OSError, ValueError, KeyError):
        pass
    connection.close()
    return None
