"""Load for an HTTP server on loopback: wrk if it is installed, else a loop in Python."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.model import Unmeasured

#: Number of connections; each sends its next request after the previous answer.
CONNECTIONS = 16

_RATE = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m)")
_WRONG = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)")


def generator() -> str:
    """Return the name of the load generator."""
    return "wrk" if shutil.which("wrk") else "asyncio"


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request, sent as fast as the server answers.

    Attributes:
        port: port on 127.0.0.1.
        path: path of the request.
        body: JSON for a POST; if empty, a GET is sent.
    """

    port: int
    path: str
    body: bytes = b""

    def run(self, seconds: float, folder: Path) -> tuple[int, float]:
        """Send requests for some seconds; return the number of answers and the actual seconds.

        Raises:
            Unmeasured: an answer was not a success, or a connection failed.
        """
        if generator() == "wrk":
            return self._wrk(seconds, folder)
        return asyncio.run(self._loop(seconds))

    def _wrk(self, seconds: float, folder: Path) -> tuple[int, float]:
        # wrk accepts only whole seconds.
        whole = max(1, round(seconds))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{whole}s"]
        if self.body:
            script = folder / "post.lua"
            script.write_text(
                'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                f"wrk.body = [[{self.body.decode()}]]\n",
                "utf-8",
            )
            command += ["-s", str(script)]
        url = f"http://127.0.0.1:{self.port}{self.path}"
        out = subprocess.run([*command, url], capture_output=True, text=True, check=False).stdout
        rate, wrong = _RATE.search(out), _WRONG.search(out)
        if rate is None or wrong is not None:
            raise Unmeasured(f"wrk {url}: {wrong[0] if wrong else out}")
        scale = {"ms": 0.001, "s": 1.0, "m": 60.0}[rate[3]]
        return int(rate[1]), float(rate[2]) * scale

    async def _loop(self, seconds: float) -> tuple[int, float]:
        head = f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        request = head.encode() + b"\r\n" + self.body
        began = time.monotonic()
        counts = await asyncio.gather(
            *(self._client(request, began + seconds) for _ in range(CONNECTIONS))
        )
        return sum(counts), time.monotonic() - began

    async def _client(self, request: bytes, end: float) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answered = 0
        while time.monotonic() < end:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 2"):
                raise Unmeasured(f"{self.path}: {answer.splitlines()[0]!r}")
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            answered += 1
        writer.close()
        return answered
