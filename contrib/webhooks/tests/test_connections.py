"""Bytes that receivers send: what they mean for the attempt and for its connection."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from rolehost_webhooks.delivery import connections
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import DROPPED, Sender
from rolehost_webhooks.models import Cause
from rolehost_webhooks.settings import DeliverySettings

#: Serves one connection.
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
#: Size of a body that does not fit into the buffers of the kernel.
LARGE = 15_000_000

HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@asynccontextmanager
async def receiving(serve: Serve) -> AsyncIterator[str]:
    """Listen, serve each connection, and yield the URL."""
    tasks = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))


def sender(**settings: float) -> Sender:
    return Sender(DeliverySettings(allow_private=True, **settings))  # type: ignore[arg-type]


def answers(*parts: bytes, count: int = 1, timeout: float = 5.0) -> list[Answer]:
    """Send requests to a receiver that answers each with the same parts, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(count):
            await read_request(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)  # so that the parts are sent one by one
        writer.close()
        await writer.wait_closed()

    async def run() -> list[Answer]:
        async with receiving(serve) as url:
            client = sender(timeout=timeout)
            return [await client.post(url, {}, b"{}") for _ in range(count)]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("parts", "status", "body"),
    [
        ([HINTS, OK], 200, "ok"),
        ([HINTS * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, "ok"),
        ([OK + HINTS], 200, "ok"),
        ([OK + b"no HTTP\r\n\r\n"], 200, "ok"),
        ([OK + b"HTTP/1.1 500 X\r\n\r\n"], 200, "ok"),
        ([b"HTTP/1.1 204 X\r\ncontent-length: 4\r\n\r\nbody"], 204, ""),
        ([b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: a\r\n\r\nbytes"], 101, ""),
        ([b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n"], 999, ""),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil ", b"the end"], 200, "until the end"),
        ([HEAD + b"2\r\nok\r\n0\r\nx: y\r\n\r\n"], 200, "ok"),
        ([b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nraw"], 200, "raw"),
    ],
)
def test_a_response_is_taken_as_it_was_meant(parts: list[bytes], status: int, body: str) -> None:
    (answer,) = answers(*parts)
    assert (answer.status, answer.body, answer.cause) == (status, body, None)


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([], Cause.CLOSED),
        ([HINTS], Cause.CLOSED),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"], Cause.CLOSED),
        ([HEAD + b"5\r\nok"], Cause.CLOSED),
        ([HEAD + b"zz\r\n"], Cause.BAD_RESPONSE),
        ([HEAD, b"zz\r\n"], Cause.BAD_RESPONSE),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], Cause.BAD_RESPONSE),
        ([b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n"], Cause.BAD_RESPONSE),
        ([b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n"], Cause.BAD_RESPONSE),
        ([b"HTTP/1.1 200 X\r\ncontent-length: -1\r\n\r\nx"], Cause.BAD_RESPONSE),
        ([b"HTTP/1.1 200 X\r\ncontent-length: 1" + b"9" * 30 + b"\r\n\r\n"], Cause.BAD_RESPONSE),
        (
            [b"HTTP/1.1 200 X\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy"],
            Cause.BAD_RESPONSE,
        ),
        (
            [HEAD[:-2] + b"content-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
            Cause.BAD_RESPONSE,
        ),
        ([b"HTTP/1.1 200 X\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"], Cause.BAD_RESPONSE),
    ],
)
def test_what_is_no_complete_response_has_a_cause(parts: list[bytes], cause: Cause) -> None:
    (answer,) = answers(*parts)
    assert (answer.status, answer.cause) == (0, cause)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a" * 8000),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
        (b"", HINTS * 500),
        (b"", b"HTTP/1.1 100 X\r\n\r\n"),
        (HEAD + b"1;", b"x" * 8000),
        (HEAD + b"0\r\n", b"x: y\r\n" * 1000),
    ],
)
def test_what_never_ends_is_cut_before_the_deadline(first: bytes, again: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()

    async def run() -> Answer:
        async with receiving(serve) as url:
            return await sender(timeout=60.0).post(url, {}, b"{}")

    answer = asyncio.run(run())
    assert (answer.status, answer.cause) == (0, Cause.BAD_RESPONSE)


def test_an_endless_body_is_cut_and_its_status_counts() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD)
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async def run() -> Answer:
        async with receiving(serve) as url:
            return await sender(timeout=60.0).post(url, {}, b"{}")

    answer = asyncio.run(run())
    assert (answer.status, len(answer.body)) == (200, DeliverySettings().response_limit)


@pytest.mark.parametrize("sent", [OK, HEAD, b"HTTP/1.1 2", b""])
def test_the_deadline_is_that_of_the_whole_attempt(sent: bytes) -> None:
    """A receiver that sends a byte now and then, and reads nothing, holds nothing longer."""
    reached = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in sent[:-1]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)  # so that the bytes are sent one by one
        reached.set()
        assert await reader.read() is not None  # ends when the connection is closed

    async def run() -> Answer:
        async with receiving(serve) as url:
            answer = await sender(timeout=0.8).post(url, {}, b"x" * 100)
            assert reached.is_set()
            return answer

    answer = asyncio.run(run())
    assert (answer.status, answer.cause) == (0, Cause.TIMEOUT)


def test_a_receiver_that_reads_nothing_does_not_keep_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The body is larger than the buffers of the kernel, so a part of it waits in the client."""
    sockets: list[socket.socket] = []
    made = connections.Wire.connection_made

    def remember(wire: connections.Wire, transport: asyncio.Transport) -> None:
        sockets.append(transport.get_extra_info("socket"))
        made(wire, transport)

    monkeypatch.setattr(connections.Wire, "connection_made", remember)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async def run() -> Answer:
        async with receiving(serve) as url:
            answer = await sender(timeout=0.5).post(url, {}, b"x" * LARGE)
            await asyncio.sleep(0)
            assert [each.fileno() for each in sockets] == [-1]
            return answer

    assert asyncio.run(run()).cause == Cause.TIMEOUT


def test_an_answer_to_half_a_request_counts_and_ends_the_connection() -> None:
    peers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()

    async def run() -> list[int]:
        async with receiving(serve) as url:
            client = sender(timeout=10.0)
            return [(await client.post(url, {}, b"x" * LARGE)).status for _ in range(2)]

    assert asyncio.run(run()) == [413, 413]
    assert len(set(peers)) == 2


UNASKED = [b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nx", b"\0"]


@pytest.mark.parametrize("unasked", UNASKED)
def test_bytes_that_arrive_between_requests_close_the_connection(
    unasked: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE", 600.0)
    idle, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        if not closed.is_set():
            await idle.wait()
            writer.write(unasked)
            assert await reader.read() == b""
            closed.set()

    async def run() -> list[int]:
        async with receiving(serve) as url:
            client = sender(timeout=10.0)
            first = await client.post(url, {}, b"{}")
            idle.set()
            await asyncio.wait_for(closed.wait(), 10)
            return [first.status, (await client.post(url, {}, b"{}")).status]

    assert asyncio.run(run()) == [200, 200]


@pytest.mark.parametrize("unasked", UNASKED)
def test_bytes_that_the_loop_has_not_yet_read_are_no_response_to_the_next_request(
    unasked: bytes,
) -> None:
    idle, sent = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            accepted, _ = listener.accept()
            with accepted, accepted.makefile("rb") as request:
                while request.readline().strip():
                    pass
                request.read(len(b"{}"))  # an answer to half a request ends the connection
                accepted.sendall(OK)
                assert idle.wait(30)
                accepted.sendall(unasked)
                sent.set()
                with suppress(ConnectionResetError):
                    request.read()

    async def run(url: str) -> list[int]:
        client = sender(timeout=10.0)
        first = await client.post(url, {}, b"{}")
        idle.set()
        assert sent.wait(30)  # this blocks the loop
        return [first.status, (await client.post(url, {}, b"{}")).status]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        assert asyncio.run(run(f"http://127.0.0.1:{listener.getsockname()[1]}/")) == [200, 200]
        thread.join()


def test_a_connection_that_the_receiver_closed_is_not_used_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)  # keep-alive, which is a lie
        await writer.drain()

    async def run() -> list[int]:
        async with receiving(serve) as url:
            client = sender(timeout=10.0)
            return [(await client.post(url, {}, b"{}")).status for _ in range(3)]

    assert asyncio.run(run()) == [200, 200, 200]


def test_idle_connections_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE", 3)
    open_now: set[object] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            while True:
                await read_request(reader)
                writer.write(OK)
        finally:
            open_now.discard(writer)

    async def run() -> tuple[int, int]:
        async with receiving(serve) as one, receiving(serve) as two:
            client = sender(timeout=10.0, connections=2)
            await asyncio.gather(*[client.post(one, {}, b"{}") for _ in range(6)])
            first = await _settled(open_now)
            await asyncio.gather(*[client.post(two, {}, b"{}") for _ in range(6)])
            return first, await _settled(open_now)

    assert asyncio.run(run()) == (2, 3)


async def _settled(items: set[object]) -> int:
    """Return the number of items when it has stopped to change."""
    before = -1
    while before != len(items):
        before = len(items)
        await asyncio.sleep(0.05)
    return before


def test_a_cancelled_attempt_closes_its_connection() -> None:
    closed = asyncio.Event()
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        assert await reader.read() == b""
        closed.set()

    async def run() -> None:
        async with receiving(serve) as url:
            task = asyncio.create_task(sender(timeout=60.0).post(url, {}, b"{}"))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(closed.wait(), 10)

    asyncio.run(run())


def test_a_response_of_one_byte_chunks_within_the_limit_is_read() -> None:
    chunks = b"1\r\nx\r\n" * DROPPED
    (answer,) = answers(HEAD + chunks + b"0\r\n\r\n")
    assert (answer.status, answer.cause) == (200, None)
