"""Send requests at a steady rate over kept and new connections, and count every failure.

``python -m tests.proofs.reload_load PORT RATE``: a separate process, so that the proof does not
slow down the load. When its input ends, it prints its report and exits.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import NamedTuple

#: Number of kept connections, and of tasks that open a new connection for each request.
KEPT, FRESH = 24, 8
#: One of this number of requests is an order, and one goes to the optional route.
ORDERS, EXTRAS = 10, 5
#: Timeout in seconds for an answer.
TIMEOUT = 10.0


class Answer(NamedTuple):
    """One answer.

    Attributes:
        status: the HTTP status.
        last: whether the server announced that it closes the connection.
    """

    status: int
    last: bool


class Failed(Exception):
    """A request without an answer; the message is a word for the reason."""


class Connection:
    """One client's connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes, *, keep: bool) -> int:
        """Send a request and return the status; open a connection if there is none.

        Raises:
            Failed: refused, reset or no answer in time.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._ask(method, path, body, keep=keep)
        except TimeoutError:
            self.close()
            raise Failed("timeout") from None
        except ConnectionRefusedError:
            raise Failed("refused") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Failed(f"reset ({'kept' if keep else 'fresh'})") from error
        if answer.last or not keep:
            self.close()
        return answer.status

    async def _ask(self, method: str, path: str, body: bytes, *, keep: bool) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        head += ["Content-Type: application/json"] if body else []
        head += [] if keep else ["Connection: close"]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        await reader.readexactly(int(fields.get("content-length", 0)))
        return Answer(int(lines[0].split()[1]), fields.get("connection") == "close")

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Load:
    """All clients.

    Args:
        port: port of the service.
        rate: requests per second of all clients together.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._began = time.monotonic()
        self._tickets = 0
        self._next = 0
        self._stopped = False
        self.ordered: list[int] = []
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.longest = 0.0

    async def run(self) -> None:
        """Send until the input ends."""
        clients = [asyncio.create_task(self._client(keep=n < KEPT)) for n in range(KEPT + FRESH)]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.read)
        self._stopped = True
        await asyncio.gather(*clients)

    async def _client(self, *, keep: bool) -> None:
        connection = Connection(self._port)
        while not self._stopped:
            ticket = self._tickets
            self._tickets += 1
            due = self._began + ticket / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # the rate
            await self._send(connection, ticket, keep=keep)
        connection.close()

    async def _send(self, connection: Connection, ticket: int, *, keep: bool) -> None:
        method, path, body, number = "GET", "/ping", b"", None
        if ticket % ORDERS == 0:
            number = self._next
            self._next += 1
            method, path, body = "POST", "/orders", str(number).encode()
        elif ticket % EXTRAS == 1:
            path = "/extra"
        began = time.monotonic()
        try:
            status = await connection.ask(method, path, body, keep=keep)
        except Failed as failed:
            self.failures[str(failed)] += 1
            return
        self.longest = max(self.longest, time.monotonic() - began)
        self.statuses[f"{path} {status}"] += 1
        if number is not None and status == 202:
            self.ordered.append(number)
        elif status != 200 and (path, status) != ("/extra", 404):
            self.failures[f"status {status}"] += 1

    def report(self) -> dict[str, object]:
        """Return the counts of answers and failures."""
        seconds = time.monotonic() - self._began
        answered = sum(self.statuses.values())
        return {
            "requests": answered + sum(self.failures.values()) - self._wrong(),
            "seconds": seconds,
            "failures": dict(self.failures),
            "statuses": dict(self.statuses),
            "ordered": self.ordered,
            "longest": self.longest,
        }

    def _wrong(self) -> int:
        return sum(count for name, count in self.failures.items() if name.startswith("status"))


def main(port: int, rate: float) -> None:
    """Run the load, and print its report as one JSON object."""
    import uvloop

    load = Load(port, rate)
    uvloop.run(load.run())
    print(json.dumps(load.report()))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
