"""Redis, optionally with a password and TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from rolehost_testing.services import certificates
from rolehost_testing.services.places import program
from rolehost_testing.services.server import Server


class Redis(Server):
    """A separate Redis server. Its writes survive a restart, also an immediate one.

    Attributes:
        authority: PEM file of the certificate authority; None without TLS.
        client: certificate of a client; None without TLS.
    """

    name = "redis"

    def __init__(
        self,
        *,
        password: str | None = None,
        tls: bool = False,
        client_certificates: bool = False,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        self._program = program("redis-server", "redis-server")
        super().__init__()
        self.password = password
        # Redis writes to the kernel before it answers, so only a crash of the machine loses data.
        # With "everysec", a slow disk can delay writes within Redis by up to 2 s.
        self._parameters: dict[str, object] = {
            "appendonly": "yes",
            "appendfsync": "no",
            "save": "",
            **(parameters or {}),
        }
        self._certificates = certificates.make(self.folder) if tls else None
        self._client_certificates = client_certificates
        self.authority = self._certificates.authority if self._certificates else None
        self.client = self._certificates.client if self._certificates else None

    @property
    def url(self) -> str:
        """``redis://[:PASSWORD@]127.0.0.1:PORT/0``; with TLS ``rediss://`` and the authority."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        if self.authority is None:
            return f"redis://{login}127.0.0.1:{self.port}/0"
        return f"rediss://{login}127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"

    def _command(self) -> list[str | Path]:
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder)}
        if self._certificates is not None:
            settings |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-ca-cert-file": str(self._certificates.authority),
                "tls-cert-file": str(self._certificates.server.certificate),
                "tls-key-file": str(self._certificates.server.key),
                "tls-auth-clients": "yes" if self._client_certificates else "no",
            }
        if self.password:
            settings["requirepass"] = self.password
        # Use a file, because a password in the arguments would be visible in the process list.
        file = self.folder / "redis.conf"
        merged: dict[str, object] = {**settings, **self._parameters}
        lines = [f"{key} {_quoted(value)}" for key, value in merged.items()]
        file.write_text("\n".join(lines) + "\n", "utf-8")
        return [self._program, file]

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1) as plain:
            connection = plain
            if self.authority is not None:
                context = ssl.create_default_context(cafile=str(self.authority))
                if self.client is not None:
                    context.load_cert_chain(self.client.certificate, self.client.key)
                connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
            with connection:
                if self.password:
                    connection.sendall(_request("AUTH", self.password))
                    connection.recv(64)
                connection.sendall(_request("PING"))
                return connection.recv(64).startswith(b"+PONG")


def _quoted(value: object) -> str:
    """Return a value quoted for redis.conf."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _request(*words: str) -> bytes:
    """Encode a command in the Redis protocol (RESP)."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
