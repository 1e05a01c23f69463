"""The control socket, through which ``rolehost reload`` reaches a running supervisor.

Only the supervisor's user can open it, and each end checks the user of the other end (peer
credentials); the supervisor accepts root too.

Protocol: the supervisor sends JSON objects, one per line. The first has its process id and its
deployment. When the client sends :data:`RELOAD`, the supervisor sends the progress of the reload,
and ``result`` at the end.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, BaseSelector
from typing import Any

from rolehost.private import NotPrivate, bind_private, check_socket, peer_user, private_folder
from rolehost.redaction import masked

RELOAD = b"reload\n"

BACKLOG = 8

#: Prefix of the folder with the sockets of a user's supervisors; the user id follows.
FOLDER = "rolehost-supervisors-"

#: Sends a line of progress to the client that asked for a reload.
Notify = Callable[[dict[str, Any]], None]


def folder() -> Path:
    """Return the folder of this user's control sockets, which are named ``PID.sock``.

    It is in ``TMPDIR`` (default ``/tmp``), so that a command finds it without a setting.
    """
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"{FOLDER}{os.geteuid()}"


class ControlServer:
    """The supervisor's end; it registers its callbacks as the data of keys in ``selector``."""

    def __init__(
        self,
        selector: BaseSelector,
        greeting: Callable[[], dict[str, Any]],
        reload: Callable[[Notify], None],
    ) -> None:
        self._selector = selector
        self._greeting = greeting
        self._reload = reload
        self._path = folder() / f"{os.getpid()}.sock"
        self._socket: socket.socket | None = None
        self._clients: set[socket.socket] = set()

    def open(self) -> None:
        """Listen on the socket; after NotPrivate or OSError only signals reach the supervisor."""
        private_folder(self._path.parent)
        if check_socket(self._path):
            self._path.unlink()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.setblocking(False)
            bind_private(server, self._path)
            server.listen(BACKLOG)
        except OSError:
            server.close()
            raise
        self._socket = server
        self._selector.register(server, EVENT_READ, self._accept)

    def close(self) -> None:
        """Close the socket and every connection."""
        for client in list(self._clients):
            self._drop(client)
        if self._socket is not None:
            self._selector.unregister(self._socket)
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
        self._selector.register(client, EVENT_READ, partial(self._receive, client))
        self._send(client, self._greeting())

    def _receive(self, client: socket.socket) -> None:
        try:
            request = client.recv(len(RELOAD))
        except BlockingIOError:
            return
        except OSError:
            request = b""
        if request == RELOAD:
            self._reload(partial(self._send, client))
        else:
            self._drop(client)

    def _send(self, client: socket.socket, line: dict[str, Any]) -> None:
        if client not in self._clients:
            return
        try:
            client.sendall(masked(json.dumps(line)).encode() + b"\n")
        except OSError:
            # The client has disconnected or does not read; the reload continues without it.
            self._drop(client)
            return
        if "result" in line:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.discard(client)
        self._selector.unregister(client)
        client.close()


class RunningSupervisor:
    """A command's connection to a supervisor; ``path`` is empty without a deployment file."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        greeting = json.loads(self._lines.readline())
        self.pid = int(greeting["pid"])
        self.name = str(greeting["name"])
        self.path = str(greeting["path"])

    def reload(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Start a reload; yield its progress, and ``result`` at the end.

        TimeoutError: no line for ``timeout`` seconds; the reload continues. If the supervisor dies,
        the iterator ends without ``result``.
        """
        self._connection.settimeout(timeout)
        self._connection.sendall(RELOAD)
        return map(json.loads, self._lines)

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._connection.close()


def running_supervisors() -> list[RunningSupervisor]:
    """Return connections to the running supervisors of this user. The caller closes them.

    Sockets of killed supervisors are removed. NotPrivate: other users have access to the folder.
    """
    own = folder()
    if not os.path.lexists(own):
        return []
    found = (_connected(path) for path in sorted(private_folder(own).glob("*.sock")))
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
