"""PgBouncer in front of a PostgreSQL server."""

from __future__ import annotations

import pwd
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rolehost_testing.services.places import program
from rolehost_testing.services.postgres import account
from rolehost_testing.services.server import Server


class PgBouncer(Server):
    """A separate PgBouncer; it trusts its clients, as the user of ``server``.

    Args:
        server: URL of the PostgreSQL server, ``postgresql://USER[:PASSWORD]@HOST:PORT/NAME``.
        parameters: settings of the section ``[pgbouncer]`` of pgbouncer.ini, for example
            ``{"pool_mode": "transaction", "default_pool_size": 1}``.
    """

    name = "pgbouncer"

    def __init__(self, server: str, parameters: Mapping[str, object] | None = None) -> None:
        self._program = program("pgbouncer", "pgbouncer")
        # PgBouncer, like PostgreSQL, does not run as root.
        self._account = account()
        super().__init__()
        self._server = urlsplit(server)
        self._write(parameters or {})

    @property
    def url(self) -> str:
        """``postgresql://USER@127.0.0.1:PORT/NAME``, with the database of the server."""
        return f"postgresql://{self._server.username}@127.0.0.1:{self.port}{self._server.path}"

    def _write(self, parameters: Mapping[str, object]) -> None:
        """Write the configuration and the list of users."""
        user = unquote(self._server.username or "")
        password = unquote(self._server.password or "")
        users = self.folder / "users.txt"
        users.write_text(f'"{user}" "{password}"\n', "utf-8")
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "admin_users": user,
            **parameters,
        }
        lines = [f"{key} = {value}" for key, value in settings.items()]
        place = f"host={self._server.hostname} port={self._server.port or 5432}"
        self._settings.write_text(
            "\n".join(["[databases]", f"* = {place}", "[pgbouncer]", *lines, ""]), "utf-8"
        )
        if self._account is not None:
            group = pwd.getpwnam(self._account).pw_gid
            for path in (self.folder, users, self._settings):
                shutil.chown(path, self._account, group)

    @property
    def _settings(self) -> Path:
        return self.folder / "pgbouncer.ini"

    def _user(self) -> str | None:
        return self._account

    def _command(self) -> list[str | Path]:
        return [self._program, self._settings]

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True
