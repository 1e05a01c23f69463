"""Connections to receivers: reused safely, closed at once, with bounded memory.

aiohttp's connections are extended where a hostile or faulty receiver could do harm:

- Bytes that arrive between two requests end the connection. aiohttp would take them for the
  response to the next request.
- A response has a maximum size as it is sent, and so have all heads together. aiohttp limits lines
  and fields, but neither the number of informational responses nor extensions of chunks.
- What follows a complete response is ignored, and ends the connection. aiohttp refuses the response
  too if both arrive together.
- A connection is closed at once. aiohttp waits until the receiver has read all that was written.
- The number of idle connections is limited, for each receiver and in total.
"""

from __future__ import annotations

import asyncio
import select
from collections import Counter, OrderedDict
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import LineTooLong

from rolehost_webhooks.delivery.guard import Guard, Resolver

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

#: Maximum bytes of the head of a response, and of all informational responses before it.
MAX_HEAD = 65_536

#: Bytes that are parsed before the size of a response is compared with its limit.
PIECE = 16_384

_END_OF_HEAD = b"\r\n\r\n"

#: Maximum number of idle connections of a process.
MAX_IDLE = 500

#: Seconds after which an idle connection is closed; many servers close theirs after 5.
KEEP_ALIVE = 4.5

#: Seconds for which the addresses of a name are kept.
NAMES_KEPT = 10

#: Whether the attempt of this task has a connection.
connected: ContextVar[bool] = ContextVar("connected", default=False)


class Wire(ResponseHandler):
    """A connection to a receiver: idle, or used by one request.

    Args:
        idle: the idle connections of the process.
        most: maximum bytes of a response as it is sent, with its head and the heads before it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: IdleConnections, most: int) -> None:
        super().__init__(loop)
        self._idle_connections = idle
        self._most = most
        self._idle = False
        self._received = 0
        self._has_head = True

    def begin(self) -> bool:
        """Begin a request; return False if the connection was used before and must not be again."""
        if self._idle:
            self._idle = False
            self._idle_connections.remove(self)
            if self.should_close or _is_readable(self.transport):
                return False
        self._received = 0
        self._has_head = False
        return True

    def end(self, key: ConnectionKey) -> None:
        """End a request: the connection becomes idle, or is closed."""
        transport = self.transport
        if transport is None or self.should_close:
            return
        if transport.get_write_buffer_size() or not self._idle_connections.add(self, key):
            self.force_close()
        else:
            self._idle = True

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, in pieces; overrides asyncio's method."""
        if not data:  # the parser continues after a pause
            super().data_received(data)
            return
        if self._idle:
            self.abort()
            return
        start = 0
        while start < len(data) and self.exception() is None and self.transport is not None:
            end = start + PIECE
            if not self._has_head:
                # A head is parsed apart: what follows a complete response may be no HTTP.
                head_end = data.find(_END_OF_HEAD, start, end)
                end = end if head_end < 0 else head_end + len(_END_OF_HEAD)
            self._parse(data[start:end])
            start = end

    def _parse(self, piece: bytes) -> None:
        self._received += len(piece)
        super().data_received(piece)
        if self._received > (self._most if self._has_head else MAX_HEAD):
            self.set_exception(LineTooLong(b"response", self._most))
            if self.transport is not None:
                self.transport.abort()
        error, payload = self.exception(), self._payload
        if error is not None and payload is not None and not payload.is_eof():
            # aiohttp would let the reader of the body wait.
            payload.set_exception(error)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take a parsed head; overrides the queue's method."""
        status = data[0].code
        self._has_head = status >= 200 or status == 101
        super().feed_data(data, size)

    def close(self) -> None:
        """Close at once, whatever the receiver has not read."""
        self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; overrides asyncio's method."""
        if self._idle:
            self._idle = False
            self._idle_connections.remove(self)
        super().connection_lost(exc)


class IdleConnections:
    """The idle connections of a process, the longest idle one first.

    Args:
        per_receiver: maximum number of idle connections to one receiver.
    """

    def __init__(self, per_receiver: int) -> None:
        self._per_receiver = per_receiver
        self._keys: OrderedDict[Wire, ConnectionKey] = OrderedDict()
        self._count: Counter[ConnectionKey] = Counter()

    def add(self, wire: Wire, key: ConnectionKey) -> bool:
        """Add a connection; return False if its receiver has enough of them."""
        if self._count[key] >= self._per_receiver:
            return False
        self._keys[wire] = key
        self._count[key] += 1
        if len(self._keys) > MAX_IDLE:
            next(iter(self._keys)).abort()
        return True

    def remove(self, wire: Wire) -> None:
        """Remove a connection that is used again, or lost."""
        key = self._keys.pop(wire)
        self._count[key] -= 1
        if not self._count[key]:
            del self._count[key]


class Connector(TCPConnector):
    """Opens and keeps the connections of a process.

    Args:
        guard: decides on addresses.
        idle: maximum number of idle connections to one receiver.
        most: maximum bytes of a response as it is sent.
    """

    def __init__(self, guard: Guard, *, idle: int, most: int) -> None:
        super().__init__(
            resolver=Resolver(guard),
            socket_factory=guard.open_socket,
            ttl_dns_cache=NAMES_KEPT,
            keepalive_timeout=KEEP_ALIVE,
            # Limits of jobs and of their partitions limit connections. A limit for each receiver
            # would let one slow endpoint of a shared host delay the others.
            limit=0,
        )
        # A subclass needs this attribute: aiohttp has no other way to extend its connections.
        self._factory: partial[ResponseHandler] = partial(
            Wire, loop=self._loop, idle=IdleConnections(idle), most=most
        )

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """Return a connection for a request; overrides aiohttp's method."""
        while True:
            connection = await super().connect(req, traces, timeout)
            wire = connection.protocol
            assert isinstance(wire, Wire)
            if wire.begin():
                connection.add_callback(partial(wire.end, req.connection_key))
                connected.set(True)
                return connection
            connection.close()


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Return whether bytes, or the end of the connection, wait in the kernel."""
    raw = None if transport is None else transport.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return bool(poll.poll(0))
