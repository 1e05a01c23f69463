"""Receivers that misbehave, each in one way, on one event loop in a thread."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs.kit import Unavailable
from tests.proofs.running import free_port

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
#: Seconds between two bytes of a receiver that drips.
DRIP = 0.05
#: 100 MB of zeros.
BOMB = gzip.compress(bytes(100_000_000), 1)


class Peer:
    """A connection from a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""

    async def request(self) -> None:
        """Read a whole request."""
        await self.read_head()
        length = int(self.head.partition(b"content-length:")[2].split(b"\r\n")[0])
        await self._reader.readexactly(length)

    async def read_head(self) -> None:
        """Read the head of a request."""
        self.head = (await self._reader.readuntil(b"\r\n\r\n")).lower()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def drip(self, data: bytes) -> None:
        """Send bytes one by one, and then the last one for ever."""
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(DRIP)
        await self.repeat(data[-1:], DRIP)

    async def repeat(self, data: bytes, pause: float = 0.0) -> None:
        """Send the same bytes until the worker closes the connection."""
        while True:
            await self.send(data)
            await asyncio.sleep(pause)

    async def closed(self) -> None:
        """Wait until the worker closes the connection; drop what it sends."""
        while await self._reader.read(65_536):
            pass

    def stop_reading(self) -> None:
        """Read nothing more."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """End the connection with a reset instead of an orderly end."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Serve = Callable[[Peer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """A way in which a receiver misbehaves, and what its attempts must show.

    Attributes:
        serve: serves one connection; None: nothing listens.
        status: status of each attempt; 0 if there is no complete response.
        cause: cause of each attempt without a complete response.
        tls: ``none``; ``plain``: the URL is https and the receiver does not know TLS;
            ``untrusted``: its certificate is that of an unknown authority.
        reads: whether the receiver reads until the worker closes the connection.
        room: size of the receive buffer in bytes; 0 is the default of the kernel.
    """

    serve: Serve | None
    status: int = 0
    cause: str | None = None
    tls: str = "none"
    reads: bool = True
    room: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the first attempt succeeds."""
        return 200 <= self.status < 300


def answers(*parts: bytes, closes: bool = True) -> Serve:
    """Read a request, send these bytes, and close, or wait until the worker closes."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.send(part)
        if not closes:
            await peer.closed()

    return serve


def answers_for_ever(first: bytes, again: bytes, pause: float = 0.0) -> Serve:
    """Read a request, send bytes, and then others for ever."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        await peer.repeat(again, pause)

    return serve


def _head(line: str, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", *fields, "", ""]).encode("latin-1")


async def _closes_at_once(_peer: Peer) -> None:
    pass


async def _resets(peer: Peer) -> None:
    await peer.read_head()
    peer.reset()


async def _resets_in_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(_head("200 OK", "content-length: 100") + b"x")
    peer.reset()


async def _silent(peer: Peer) -> None:
    await peer.closed()


async def _reads_nothing(peer: Peer) -> None:
    peer.stop_reading()
    await asyncio.Event().wait()


async def _drips_head(peer: Peer) -> None:
    await peer.request()
    await peer.drip(b"HTTP/1.1 200 OK\r\nx: y")


async def _drips_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(_head("200 OK", "content-length: 100000"))
    await peer.drip(b"x")


async def _answers_early(peer: Peer) -> None:
    await peer.read_head()
    peer.stop_reading()
    await peer.send(_head("413 Too Large", "connection: close", "content-length: 0"))
    await asyncio.Event().wait()


async def _no_tls(peer: Peer) -> None:
    await peer.send(_head("400 Bad Request", "content-length: 0"))


async def _cookies(peer: Peer) -> None:
    await peer.request()
    if b"\r\ncookie:" in peer.head:
        await peer.send(OK)  # which is wrong: the attempt must fail
    await peer.send(_head("500 Broken", "set-cookie: a=b", "content-length: 0"))


#: Name → how the receiver misbehaves.
WAYS: Mapping[str, Way] = {
    # The connection.
    "listens-not": Way(None, cause="refused"),
    "closes-at-once": Way(_closes_at_once, cause="closed"),
    "resets": Way(_resets, cause="closed"),
    "silent": Way(_silent, cause="timeout"),
    "reads-nothing": Way(_reads_nothing, cause="timeout", reads=False, room=4096),
    "tls-unknown": Way(_no_tls, cause="tls", tls="plain"),
    "tls-silent": Way(_silent, cause="timeout", tls="plain"),
    "tls-untrusted": Way(answers(OK), cause="tls", tls="untrusted"),
    # Slow responses.
    "drips-head": Way(_drips_head, cause="timeout"),
    "drips-body": Way(_drips_body, cause="timeout"),
    "drips-hints": Way(answers_for_ever(b"", HINTS, DRIP), cause="timeout"),
    # Endless responses.
    "endless-hints": Way(answers_for_ever(b"", HINTS * 100), cause="bad_response"),
    "endless-field": Way(
        answers_for_ever(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 8000), cause="bad_response"
    ),
    "endless-fields": Way(
        answers_for_ever(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000), cause="bad_response"
    ),
    "endless-extension": Way(answers_for_ever(CHUNKED + b"1;", b"x" * 8000), cause="bad_response"),
    "endless-trailer": Way(
        answers_for_ever(CHUNKED + b"0\r\n", b"x: y\r\n" * 1000), cause="bad_response"
    ),
    "endless-body": Way(answers_for_ever(_head("200 OK"), b"x" * 65_536), 200),
    "bomb": Way(
        answers(_head("200 OK", "content-encoding: gzip", f"content-length: {len(BOMB)}"), BOMB),
        200,
    ),
    # Incomplete and contradictory responses.
    "short-body": Way(answers(_head("200 OK", "content-length: 100"), b"x"), cause="closed"),
    "short-chunk": Way(answers(CHUNKED + b"64\r\nx"), cause="closed"),
    "resets-in-body": Way(_resets_in_body, cause="closed"),
    "long-body": Way(answers(OK + b"more than it said", closes=False), 200),
    "two-lengths": Way(
        answers(_head("200 OK", "content-length: 1", "content-length: 2") + b"xy"),
        cause="bad_response",
    ),
    "negative-length": Way(
        answers(_head("200 OK", "content-length: -1") + b"x"), cause="bad_response"
    ),
    "huge-chunk": Way(answers(CHUNKED + b"f" * 17 + b"\r\nx"), cause="bad_response"),
    "ssh": Way(answers(b"SSH-2.0-OpenSSH_9.2\r\n"), cause="bad_response"),
    "status-000": Way(answers(_head("000 X", "content-length: 0")), cause="bad_response"),
    # Complete responses that must not be misunderstood.
    "hints": Way(answers(HINTS * 3 + OK), 200),
    "switches": Way(answers(_head("101 X", "connection: upgrade", "upgrade: x") + b"\0\1"), 101),
    "redirects": Way(
        answers(_head("302 Found", "location: http://127.0.0.1:9/", "content-length: 0")), 302
    ),
    "answers-early": Way(_answers_early, 413, reads=False),
    "answers-twice": Way(answers(_head("500 X", "content-length: 0") + OK, closes=False), 500),
    "cookies": Way(_cookies, 500),
    "waits-for-centuries": Way(
        answers(_head("503 X", f"retry-after: {'9' * 30}", "content-length: 0")), 503
    ),
    "no-text": Way(answers(_head("400 X", "content-length: 6") + b"\0\xff\xfe\x80a\0"), 400),
}


class Receivers:
    """Listens for each way, and measures how long workers hold its connections.

    Attributes:
        held: way → the longest time in seconds from a connection to its end.
        urls: way → URL of an endpoint.
    """

    def __init__(self, untrusted: ssl.SSLContext) -> None:
        self._untrusted = untrusted
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.held: dict[str, float] = {}
        self.urls: dict[str, str] = {}

    async def listen(self) -> None:
        """Listen on a free port for each way."""
        for name, way in WAYS.items():
            port = free_port() if way.serve is None else await self._listen(name, way)
            scheme = "http" if way.tls == "none" else "https"
            self.urls[name] = f"{scheme}://127.0.0.1:{port}/"

    async def _listen(self, name: str, way: Way) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            began = time.monotonic()
            try:
                assert way.serve is not None
                await way.serve(Peer(reader, writer))
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                self._tasks.discard(task)
                if way.reads:
                    self.held[name] = max(self.held.get(name, 0.0), time.monotonic() - began)
                # What was sent still arrives, unless the worker has sent more.
                with suppress(OSError, RuntimeError):
                    writer.close()

        context = self._untrusted if way.tls == "untrusted" else None
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        if way.room:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, way.room)
        await asyncio.start_server(serve, sock=listener, ssl=context)
        port: int = listener.getsockname()[1]
        return port

    def run(self, ready: threading.Event) -> None:
        """Run the event loop until :meth:`stop`."""
        self._loop.set_exception_handler(lambda *_: None)  # failed TLS handshakes
        self._loop.run_until_complete(self.listen())
        ready.set()
        self._loop.run_forever()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))

    def stop(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def misbehaving() -> Iterator[Receivers]:
    """Run the receivers during the block.

    Raises:
        Unavailable: openssl is not installed.
    """
    from rolehost_testing.services import Missing
    from rolehost_testing.services.certificates import make

    with TemporaryDirectory(prefix="rolehost-proof-") as folder:
        try:
            pair = make(Path(folder)).server
        except Missing as missing:
            raise Unavailable(str(missing)) from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
    receivers, ready = Receivers(context), threading.Event()
    thread = threading.Thread(target=receivers.run, args=(ready,), daemon=True)
    thread.start()
    assert ready.wait(30), "the receivers do not listen"
    try:
        yield receivers
    finally:
        receivers.stop()
        thread.join(30)
