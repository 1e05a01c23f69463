"""memcached; its data does not survive a stop."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from rolehost_testing.services.places import program
from rolehost_testing.services.server import Server


class Memcached(Server):
    """A separate memcached server."""

    name = "memcached"

    def __init__(self) -> None:
        self._program = program("memcached", "memcached")
        super().__init__()

    @property
    def url(self) -> str:
        """``memcached://127.0.0.1:PORT``."""
        return f"memcached://127.0.0.1:{self.port}"

    def _command(self) -> list[str | Path]:
        # As root, memcached refuses to start without a user option.
        user: list[str | Path] = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [self._program, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", *user]

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"version\r\n")
            return connection.recv(64).startswith(b"VERSION")
