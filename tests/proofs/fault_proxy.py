"""A TCP proxy before PostgreSQL that causes the faults of a network.

It runs in a thread of its own. The methods are called by other threads; the attributes may be
changed at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

#: A query of which the last statement is COMMIT, and the server's answer to COMMIT.
_COMMIT, _COMMITTED = b"COMMIT\0", b"COMMIT\0"
#: The end of an answer of the server: ``ReadyForQuery``, in a transaction.
#: Source: https://www.postgresql.org/docs/current/protocol-message-formats.html.
_IN_TRANSACTION = b"Z\0\0\0\5T"
#: Closes a socket with a reset: linger for no second.
_RESET = struct.pack("ii", 1, 0)


class _Link:
    """A connection of a client, and the one to the server that serves it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        #: The last bytes that the client sent.
        self.question = b""
        #: Whether nothing passes any more, although both connections stay open.
        self.silent = False
        #: Whether the answer to its COMMIT is replaced by a reset.
        self.cuts = False

    def reset(self) -> None:
        """Close both connections with a reset, unless they are closed already."""
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            writer.transport.abort()


class FaultProxy:
    """Passes bytes to ``target`` (host and port), until it is disturbed.

    Attributes:
        port: the port of 127.0.0.1 on which it listens.
        target: the server of new connections.
        latency: seconds for which the bytes of each direction are kept.
        cut: share of the COMMITs after which the client gets a reset instead of the answer.
        commits_cut: number of these COMMITs so far.
        sprung: set when the trap has closed, see :meth:`trap`.
    """

    def __init__(self, target: tuple[str, int], chance: random.Random) -> None:
        self.target = target
        self.latency = 0.0
        self.cut = 0.0
        self.commits_cut = 0
        self.sprung = threading.Event()
        self._chance = chance
        self._trap = b""
        self._links: set[_Link] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(lambda: asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def hole(self) -> None:
        """Pass nothing, as a black hole: connections stay open, and new ones get no answer."""
        self._call(self._passes.clear)

    def heal(self) -> None:
        """End the black hole. What was sent meanwhile arrives late."""
        self._call(self._passes.set)

    def forget(self) -> None:
        """Be silent on all present connections for good; new ones work."""
        self._call(self._forget)

    def reset(self) -> None:
        """Reset all connections."""
        self._call(self._reset)

    def point(self, target: tuple[str, int]) -> None:
        """Use another server from now on, and reset the connections to the last one."""
        self.target = target
        self.reset()

    def trap(self, query: bytes) -> None:
        """Become a black hole after a query with this text that leaves a transaction open."""
        self.sprung.clear()
        self._trap = query

    def close(self) -> None:
        """Close all connections and stop."""
        self._call(self._server.close)
        self.reset()
        self._run(self._cancel)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, make: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _call(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        self._run(call)

    def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    def _forget(self) -> None:
        for link in self._links:
            link.silent = True

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reads: asyncio.StreamReader, writes: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._passes.wait()
            answers, asks = await asyncio.open_connection(*self.target)
        except (OSError, asyncio.CancelledError):
            writes.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        link = _Link(writes, asks)
        self._links.add(link)
        for pump in (self._pump(link, reads, asks, True), self._pump(link, answers, writes, False)):
            each = asyncio.ensure_future(pump)
            self._tasks.add(each)
            each.add_done_callback(self._tasks.discard)

    async def _pump(
        self, link: _Link, reads: asyncio.StreamReader, writes: asyncio.StreamWriter, up: bool
    ) -> None:
        try:
            while data := await reads.read(65536):
                if up:
                    link.question = data
                    if data.endswith(_COMMIT):
                        link.cuts = self._chance.random() < self.cut
                elif self._answers_cut(link, data):
                    return
                if self.latency:
                    await asyncio.sleep(self.latency)
                await self._passes.wait()
                if link.silent:
                    await asyncio.Event().wait()
                writes.write(data)
                await writes.drain()
        except OSError:
            pass
        finally:
            self._links.discard(link)
            writes.close()

    def _answers_cut(self, link: _Link, data: bytes) -> bool:
        """Spring the trap, or reset the client instead of the answer; return whether reset."""
        if self._trap and self._trap in link.question and data.endswith(_IN_TRANSACTION):
            self._trap = b""
            self._passes.clear()
            self.sprung.set()
        if link.cuts and _COMMITTED in data:
            self.commits_cut += 1
            link.reset()
            return True
        return False
