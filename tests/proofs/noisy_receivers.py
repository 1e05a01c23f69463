"""The receivers of ``noisy-neighbours``: 100 endpoints of one server, some of them bad."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: What a bad endpoint does, in turns: it accepts and never answers; its connections are never
#: accepted; it sends a byte of its head now and then; it answers 500; it resets the connection.
WAYS = ("silent", "unreachable", "drips", "fails", "resets")
#: Seconds between two bytes of an endpoint that drips.
_DRIP = 0.3
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ACCEPTED = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


class Receivers:
    """A server whose paths are endpoints: ``/NUMBER``. Bad are those in ``bad``, number → way.

    ``arrived``: for each number of a message that a good endpoint accepted, when it did, in
    nanoseconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.bad: dict[int, str] = {}
        self.arrived: dict[int, int] = {}
        self.doubled = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self._port = self._server.sockets[0].getsockname()[1]
        # Its backlog is full, so the kernel drops further requests for a connection.
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._fillers = [socket.socket() for _ in range(4)]
        for each in self._fillers:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(self._full.getsockname())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)

    def url(self, number: int) -> str:
        """Return the URL of an endpoint that is good now."""
        return f"http://127.0.0.1:{self._port}/{number}"

    @property
    def unreachable(self) -> str:
        """A URL to which no connection can be made."""
        return f"http://127.0.0.1:{self._full.getsockname()[1]}/"

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until this number of messages has arrived; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.arrived) >= count, seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                endpoint = int(head.split(b" ", 2)[1].strip(b"/"))
                way = self.bad.get(endpoint)
                if way is not None:
                    await self._misbehave(way, writer)
                    continue
                self._arrive(json.loads(body)["n"])
                writer.write(_ACCEPTED)
        writer.close()

    def _arrive(self, number: int) -> None:
        with self._changed:
            self.doubled += number in self.arrived
            self.arrived.setdefault(number, time.monotonic_ns())
            self._changed.notify_all()

    @staticmethod
    async def _misbehave(way: str, writer: asyncio.StreamWriter) -> None:
        if way == "fails":
            writer.write(_FAILED)
        elif way == "resets":
            writer.transport.abort()
            raise ConnectionResetError
        elif way == "drips":
            for byte in b"HTTP/1.1 204 No Content\r\nx: " + b"y" * 10_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(_DRIP)  # what this endpoint does
        else:
            await asyncio.Event().wait()

    def close(self) -> None:
        """Close all connections and stop."""
        for each in (*self._fillers, self._full):
            each.close()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        # Connections that were accepted just now begin tasks meanwhile.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def receivers() -> Iterator[Receivers]:
    """Run the receivers during the block."""
    made = Receivers()
    try:
        yield made
    finally:
        made.close()
