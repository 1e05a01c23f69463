"""Clients that send very slowly (slowloris) must not affect other clients."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.proofs.kit import ROOT, Figures, Options
from tests.proofs.running import READY, free_port, running

PROMISE = (
    "While 60 connections send heads, then bodies, byte by byte to 2 http processes, no probe of a"
    " healthy client fails, and their p99 is at most 50 ms. Slow clients are disconnected with"
    " 408; too large bodies get 413, malformed JSON 400, too many headers 431"
)
DURATION = "about 40 s"

#: Number of slow connections and http processes, and the limit for healthy probes in seconds.
SLOW, PROCESSES, BOUND = 60, 2, 0.050
#: Seconds between two bytes of one slow client.
DRIP = 0.25
#: Timeout in seconds of the host for a head or a body in this deployment.
TIMEOUT = 4
#: Duration of each of the two phases in seconds.
FULL, SHORT = 15, 7
#: Seconds between two probes.
PAUSE = 0.01

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
BODY = (
    b"POST /decoded HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n{"
)

#: A plugin with a synchronous responder that decodes its body, as a distribution in a folder.
PLUGIN = """
from rolehost.api import PLUGIN_API, PluginInfo, Route, hookimpl
from rolehost.api.http import decode

class Decoded:
    def on_post(self, req, resp):
        resp.media = decode(req.context.body, dict)

@hookimpl
def rolehost_plugin():
    return PluginInfo(api=PLUGIN_API)

@hookimpl
def rolehost_routes():
    return [Route("/decoded", Decoded())]
"""
METADATA = "Metadata-Version: 2.1\nName: rolehost-proof\nVersion: 1.0\n"
ENTRY_POINTS = "[rolehost]\nproof = rolehost_proof\n"


def prove(options: Options) -> Figures:
    """Send heads slowly, then bodies, while another process probes; then send bad requests."""
    seconds = SHORT if options.short else FULL
    figures: dict[str, Any] = {"seed": options.seed, "slow": SLOW, "processes": PROCESSES}
    with deployment() as port:
        for phase, begin in (("heads", HEAD), ("bodies", BODY)):
            task = options.progress(seconds, f"{SLOW} connections drip {phase}")
            with probing(port, seconds) as probe:
                drip = Drip(port, begin, random.Random(options.seed))
                asyncio.run(drip.run(seconds, task))
                figures |= judged(phase, probe, drip)
        refused(port)
    return figures


@contextmanager
def deployment() -> Iterator[int]:
    """Run ``ops`` and the plugin in two http processes; yield their port."""
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        port, folder = free_port(), Path(name)
        installed = folder / "rolehost_proof-1.0.dist-info"
        installed.mkdir()
        for path, text in {
            folder / "rolehost_proof.py": PLUGIN,
            installed / "METADATA": METADATA,
            installed / "entry_points.txt": ENTRY_POINTS,
            folder / "proof.toml": 'plugins = ["ops", "proof"]\n'
            f'[http]\nbind = "127.0.0.1:{port}"\nprocesses = {PROCESSES}\n'
            f"head_timeout = {TIMEOUT}\nbody_timeout = {TIMEOUT}\n",
        }.items():
            path.write_text(text)
        command = [sys.executable, "-m", "rolehost", "run", "proof.toml"]
        with running(command, folder, {"PYTHONPATH": name}) as host:
            host.until(READY)
            yield port


class Drip:
    """Slow clients; each reconnects when the server closes its connection.

    Attributes:
        cut: number of connections closed with 408.
        dropped: number of connections closed in another way.
    """

    def __init__(self, port: int, begin: bytes, chance: random.Random) -> None:
        self._port = port
        self._begin = begin
        self._chance = chance
        self.cut = 0
        self.dropped = 0

    async def run(self, seconds: float, task: Any) -> None:
        """Send slowly for some seconds."""
        clients = [asyncio.create_task(self._client()) for _ in range(SLOW)]
        for _ in range(round(seconds)):
            await asyncio.sleep(1.0)
            task.advance(1)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self) -> None:
        await asyncio.sleep(self._chance.random() * DRIP)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                answer = await self._drip(reader, writer)
            finally:
                writer.close()
            if answer.startswith(b"HTTP/1.1 408"):
                self.cut += 1
            else:
                self.dropped += 1

    async def _drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(self._begin)
        answer = asyncio.create_task(reader.read(4096))
        try:
            while not answer.done():
                await asyncio.wait([answer], timeout=DRIP)
                with suppress(ConnectionError):
                    writer.write(b"x")
                    await writer.drain()
            return answer.result()
        except ConnectionError:
            return b""
        finally:
            answer.cancel()


@contextmanager
def probing(port: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Probe in a separate process, so that the slow clients do not delay the measurement."""
    command = [sys.executable, "-m", __name__, str(port), str(seconds)]
    probe = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield probe
    finally:
        probe.kill()
        probe.communicate()


def probe(port: int, seconds: float) -> dict[str, Any]:
    """Request the health endpoint repeatedly, each time on a new connection."""
    took: list[float] = []
    failures: list[str] = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            if status != 200:
                failures.append(f"status {status}")
        except (OSError, HTTPException) as error:
            failures.append(repr(error))
        finally:
            connection.close()
        took.append(time.monotonic() - began)
        time.sleep(PAUSE)
    return {"took": sorted(took), "failures": failures}


def judged(phase: str, running_probe: subprocess.Popen[str], drip: Drip) -> dict[str, Any]:
    """Compare one phase with the promise; return its figures."""
    output, _ = running_probe.communicate(timeout=60)
    result = json.loads(output)
    took, failures = result["took"], result["failures"]
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    assert not failures, f"{phase}: {len(failures)} of {len(took)} probes failed: {failures[:3]}"
    assert p99 <= BOUND, f"{phase}: p99 of {len(took)} probes is {p99 * 1000:.1f} ms"
    assert drip.cut >= SLOW, f"{phase}: only {drip.cut} of the slow were cut off with 408"
    assert not drip.dropped, f"{phase}: {drip.dropped} of the slow were cut off without 408"
    return {
        f"{phase}_probes": len(took),
        f"{phase}_failed": len(failures),
        f"{phase}_p50_ms": round(p50 * 1000, 1),
        f"{phase}_p99_ms": round(p99 * 1000, 1),
        f"{phase}_max_ms": round(took[-1] * 1000, 1),
        f"{phase}_cut": drip.cut,
    }


def refused(port: int) -> None:
    """Send requests that must be refused, and check the answers."""
    kind = {"Content-Type": "application/json"}
    large = ask(port, "POST", "/large", b"x" * 3_000_000, kind)
    assert large[:2] == (413, "application/problem+json"), large
    malformed = ask(port, "POST", "/decoded", b'{"name":', kind)
    assert malformed[:2] == (400, "application/problem+json"), malformed
    flood = ask(port, "GET", "/healthz", b"", {f"X-{n}": "y" for n in range(500)})
    assert flood[0] == 431, flood


def ask(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    """Send one request; return status, media type and body of the answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read()
    finally:
        connection.close()


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]))))
