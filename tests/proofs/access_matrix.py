"""Request every route in every spelling of its path, without and with wrong credentials."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Values of path variables, by converter.
VALUES = {"int": "7", "path": "a/b"}

#: The credentials to send, by name.
CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {},
    "wrong": {"Authorization": "Bearer wrong"},
}

#: Texts to append to a path.
ENDINGS = (
    *("/", "//", "/.", "/x/..", "/%2e", "%2F", "%2f"),
    *(";", ";a=b", "%3B", "%20", "%09", "%0A", "%0D%0A"),
    *("%00", "%00.png", ".", "%2E", ".json", "?", "??a=b"),
    *("#", "%23", "%3F", "%3Fa", "%", "%4", "%zz"),
    *("%ff", "%c0%af", "%e0%80%af", "%u002f", "%E2%80%8B"),
)

#: Headers that let a client override the path or method on some servers.
MISLEADING = {
    "X-Original-URL": "/healthz",
    "X-Rewrite-URL": "/healthz",
    "X-HTTP-Method-Override": "HEAD",
    "X-Forwarded-Prefix": "/healthz",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "localhost",
}


def path_of(template: str) -> str:
    """Return a path that a template matches."""
    return re.sub(r"\{[^}:]*:?([a-z]*)[^}]*\}", lambda field: VALUES.get(field[1], "x"), template)


def spellings(path: str) -> Iterator[str]:
    """Yield different targets that some program reads as the path; the path itself is first."""
    yield path
    yield from _begun_otherwise(path)
    yield from _ended_otherwise(path)
    yield from (path.upper(), path.swapcase(), path.title())
    yield from _segments_otherwise(path)


def _begun_otherwise(path: str) -> Iterator[str]:
    """Yield targets with something else before the path."""
    yield from (
        f"/{path}",
        f"//{path}",
        f"/.{path}",
        f"/x/..{path}",
        f"/%2e{path}",
        f"/x/%2e%2e{path}",
    )
    yield from (f"/%2F{path[1:]}", f"/%2f{path[1:]}", f"%2F{path[1:]}", f"/%252F{path[1:]}")
    yield from (
        f"\\{path[1:]}",
        f"/\\{path[1:]}",
        f"/%5C{path[1:]}",
        f";{path}",
        f"/;{path}",
        f"/;a=b{path}",
    )
    yield from (f"http://127.0.0.1{path}", f"http://evil.example{path}", f"//127.0.0.1{path}")


def _ended_otherwise(path: str) -> Iterator[str]:
    """Yield targets with something else behind the path, or in other bytes."""
    yield from (f"{path}{ending}" for ending in ENDINGS)
    # An overlong UTF-8 slash and dot, a full-width slash, and a byte order mark.
    yield from (f"/%c0%af{path[1:]}", f"/%c0%ae{path}", f"/%EF%BC%8F{path[1:]}")
    yield f"/%EF%BB%BF{path[1:]}"


def _segments_otherwise(path: str) -> Iterator[str]:
    """Yield targets with other separators, and with characters in other escapes."""
    segments = path[1:].split("/")
    hexed = "".join(f"%{byte:02X}" for byte in segments[-1].encode())
    yield "/" + "/".join([*segments[:-1], hexed])
    yield "/" + "/".join([*segments[:-1], hexed.lower()])
    yield "/" + "".join(f"%{byte:02x}" for byte in path[1:].encode())
    for number, segment in enumerate(segments):
        before, after = segments[:number], segments[number + 1 :]
        yield "/" + "/".join([*before, f"%{ord(segment[0]):02x}{segment[1:]}", *after])
        yield "/" + "/".join([*before, f"%25{ord(segment[0]):02x}{segment[1:]}", *after])
        if number:
            yield "/" + "/".join(before) + "//" + "/".join(segments[number:])
            yield "/" + "/".join(before) + "/./" + "/".join(segments[number:])
            yield "/" + "/".join(before) + "%2F" + "/".join(segments[number:])
            yield "/" + "/".join(before) + "\\" + "/".join(segments[number:])
            yield "/" + "/".join(before) + ";x/" + "/".join(segments[number:])


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the matrix and the status of its answer; 0 if the connection was closed."""

    method: str
    target: str
    credentials: str
    status: int


class Connection:
    """A client that sends a target unchanged; it reconnects if the server closed the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, method: str, target: str, headers: dict[str, str]) -> int:
        """Send one request; return the status."""
        fields = {"Host": f"127.0.0.1:{self._port}", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        sent = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1")
        for attempt in (1, 2):
            fresh = self._socket is None
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), 30)
            try:
                self._socket.sendall(sent)
                status = self._answer(method)
            except OSError:
                status = 0
            if status or fresh or attempt == 2:
                return status
            self.close()  # the server closed it while it was idle
        raise AssertionError("unreachable")

    def _answer(self, method: str) -> int:
        assert self._socket is not None
        received = b""
        while b"\r\n\r\n" not in received:
            more = self._socket.recv(65_536)
            if not more:
                self.close()
                return 0
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        length = (
            0
            if method == "HEAD" or status in (101, 204, 304)
            else int(fields.get(b"content-length", -1))
        )
        while 0 <= len(body) < length:
            body += self._socket.recv(65_536)
        if status == 101 or length < 0 or fields.get(b"connection", b"").lower() == b"close":
            self.close()
        return status


def ask_all(
    port: int, routes: list[dict[str, Any]], headers: dict[str, str], *, spelled: bool = True
) -> Iterator[Asked]:
    """Request each route in each spelling, with all credentials, with its own and other methods.

    Args:
        port: the port of the host.
        routes: the routes to request.
        headers: headers of every request.
        spelled: False requests only the path itself.
    """
    connection = Connection(port)
    try:
        for route in routes:
            path = path_of(route["path"])
            targets = dict.fromkeys(spellings(path)) if spelled else [path]
            for number, target in enumerate(targets):
                # The path itself with all methods, other spellings with the route's methods only.
                methods = [each for each in route["methods"] if each != "WEBSOCKET"]
                if not number:
                    methods = sorted({*methods, "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"})
                for name, credentials in CREDENTIALS.items():
                    for method in methods:
                        sent = {**headers, **credentials}
                        yield Asked(method, target, name, connection.ask(method, target, sent))
                    if "WEBSOCKET" in route["methods"]:
                        sent = {**headers, **credentials, **UPGRADE}
                        yield Asked("WEBSOCKET", target, name, connection.ask("GET", target, sent))
    finally:
        connection.close()


#: The head of a WebSocket's handshake (RFC 6455, section 4.1).
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
