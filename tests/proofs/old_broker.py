"""A stub of a Kafka 0.10.1 broker: answers only its API versions and its metadata."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Newest version of each request in Kafka 0.10.1 (ApiKeys of that release); the oldest is 0.
NEWEST = {0: 2, 1: 3, 2: 1, 3: 2, 8: 2, 9: 1, 10: 0, 11: 1, 12: 0, 13: 0, 14: 0, 15: 0, 16: 0,
          17: 0, 18: 0, 19: 1, 20: 0}  # fmt: skip

_METADATA, _API_VERSIONS = 3, 18
_UNSUPPORTED = 35


@contextmanager
def old_broker() -> Iterator[int]:
    """Answer on a port of 127.0.0.1 during the block; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_talk, args=(client, port), daemon=True).start()

        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        yield port
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _talk(client: socket.socket, port: int) -> None:
    with client, client.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            request = stream.read(struct.unpack(">i", head)[0])
            key, version, number = struct.unpack(">hhi", request[:8])
            body = _answer(key, version, port)
            if body is None:
                return
            client.sendall(struct.pack(">ii", 4 + len(body), number) + body)


def _answer(key: int, version: int, port: int) -> bytes | None:
    if key == _API_VERSIONS:
        code = 0 if version == 0 else _UNSUPPORTED
        versions = b"".join(struct.pack(">hhh", each, 0, newest) for each, newest in NEWEST.items())
        return struct.pack(">hi", code, len(NEWEST)) + versions
    if key == _METADATA:
        host = b"127.0.0.1"
        body = struct.pack(">iih", 1, 1, len(host)) + host + struct.pack(">i", port)
        if version >= 1:
            body += struct.pack(">h", -1)  # no rack
        if version >= 2:
            body += struct.pack(">h", 3) + b"old"  # the cluster's name
        if version >= 1:
            body += struct.pack(">i", 1)  # the controller
        return body + struct.pack(">i", 0)  # no topics
    return None
