"""Both ends of webhooks: ``receive PORT_FILE MOMENTS JOBS``, and ``send PORT MOMENTS FIRST COUNT
RATE``.

The receiver answers 204 and notes when each message arrived; the sender posts messages over several
connections and notes when each was acknowledged. A rate of 0 means as fast as they are answered.
Each message has the payload ``{"n":"NUMBER"}``.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

from benchmarks.moments import Moments

#: Connections of the sender, each with one request at a time.
CONNECTIONS = 8
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_NUMBER = re.compile(rb'"n":"(\d+)"')
_ACCEPTED = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


async def receive(port_file: Path, moments: Moments) -> None:
    """Accept deliveries until the process ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = _LENGTH.search(await reader.readuntil(b"\r\n\r\n"))
                body = await reader.readexactly(int(length[1]) if length else 0)
                number = _NUMBER.search(body)
                if number is not None:
                    moments.end(int(number[1]))
                writer.write(_ACCEPTED)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


async def send(port: int, moments: Moments, numbers: range, rate: float) -> None:
    """Post messages until all are acknowledged."""
    began, left = time.monotonic(), iter(enumerate(numbers))

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for done, number in left:
            if rate:
                await asyncio.sleep(max(0.0, began + done / rate - time.monotonic()))
            body = b'{"eventType":"bench","payload":{"n":"%d"}}' % number
            writer.write(
                b"POST /api/v1/app/bench/msg HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"a message was answered with {answer!r}")
            length = _LENGTH.search(answer)
            await reader.readexactly(int(length[1]) if length else 0)
            moments.start(number)
        writer.close()

    await asyncio.gather(*(post() for _ in range(CONNECTIONS)))


if __name__ == "__main__":
    command, target, path, *numbers = sys.argv[1:]
    if command == "receive":
        asyncio.run(receive(Path(target), Moments(Path(path), int(numbers[0]))))
    else:
        jobs, first, count = map(int, numbers[:3])
        shared = Moments(Path(path), jobs)
        asyncio.run(send(int(target), shared, range(first, first + count), float(numbers[3])))
