"""Receivers that misbehave must not hold, lose or confuse anything."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from tests.proofs.deployed import Deployed
from tests.proofs.hostile_ways import WAYS, Receivers, Way, misbehaving
from tests.proofs.kills import processes
from tests.proofs.kit import Figures, Options, Unavailable
from tests.proofs.receiver import Receiver, receiving
from tests.proofs.running import READY, eventually, free_port, running

PROMISE = (
    "On SQLite and PostgreSQL, 35 receivers misbehave, each in one way: they drip, send endless"
    " heads and bodies, bombs, informational responses and wrong lengths, answer twice, read"
    " nothing, reset, redirect, break TLS. Each attempt is recorded with its cause, nothing is held"
    " longer than the timeout and 1 s, each delivery ends, a worker grows by at most 128 MB, and a"
    " healthy receiver gets each message once"
)
DURATION = "about 2 min; --short: 20 s"

#: Number of messages to each receiver, and the timeout of an attempt in seconds.
FULL, SHORT = (20, 5.0), (2, 1.0)
#: Seconds for which something may be held beyond the timeout.
BEYOND = 1.0
#: Bytes of a payload: more than the buffers of a receiver that reads nothing.
PAYLOAD = 100_000
#: Maximum growth of a worker in MB: the client's code, and 140 requests at the same time.
GROWTH = 128
#: Seconds after which deliveries must have ended.
PATIENCE = 180.0
#: Svix's numbers of the status of a delivery.
SUCCESS, FAIL = 0, 2

APP = "/api/v1/app/proof"
HEALTHY = "healthy"


def prove(options: Options) -> Figures:
    """Send the same messages to all receivers, on both engines."""
    figures: dict[str, Any] = {"ways": len(WAYS)}
    wrong: list[str] = []
    for engine in ("sqlite", "postgres"):
        found = run(engine, options, wrong)
        figures |= {f"{engine}_{name}": value for name, value in found.items()}
    assert not wrong, "\n".join([*wrong[:20], str(figures)])
    return figures


def run(engine: str, options: Options, wrong: list[str]) -> dict[str, Any]:
    """Run a deployment beside the receivers; add to ``wrong``, and return figures."""
    count, timeout = SHORT if options.short else FULL
    task = options.progress(len(WAYS), engine)
    with (
        misbehaving() as receivers,
        receiving() as healthy,
        database(engine) as section,
        deployed(section, timeout) as host,
    ):
        workers = memory(host)
        began = time.monotonic()
        send(host, {**receivers.urls, HEALTHY: healthy.url}, count)
        attempts: list[dict[str, Any]] = []
        for name, way in WAYS.items():
            found = ended(host, name, count)
            wrong += [f"{engine}: {name}: {each}" for each in judged(way, found, count, timeout)]
            attempts += found[1]
            task.advance(1)
        seconds = time.monotonic() - began
        wrong += [f"{engine}: {each}" for each in unharmed(host, healthy, count)]
        wrong += [f"{engine}: {each}" for each in held(receivers, timeout)]
        after = memory(host)
        if after.keys() != workers.keys():
            wrong.append(f"{engine}: a worker was replaced")
        growth = max(after.get(pid, 0) - before for pid, before in workers.items())
        if growth > GROWTH:
            wrong.append(f"{engine}: a worker has grown by {growth} MB")
    return {
        "attempts": len(attempts),
        "longest_attempt_ms": max(each["responseDurationMs"] for each in attempts),
        "longest_held_s": round(max(receivers.held.values()), 2),
        "growth_mb": growth,
        "ended_s": round(seconds, 1),
    }


@contextmanager
def database(engine: str) -> Iterator[str]:
    """Yield the part of a deployment file that names a database.

    Raises:
        Unavailable: PostgreSQL is not installed.
    """
    if engine == "sqlite":
        with TemporaryDirectory(prefix="rolehost-proof-") as folder:
            yield f'[embedded]\npath = "{folder}/service.db"\n'
        return
    from rolehost_testing.services import Missing, start

    try:
        server = start("postgres")
    except Missing as missing:
        raise Unavailable(str(missing)) from None
    with server:
        storage = '[storage]\ndatabase = "postgres"\nqueue = "postgres"\n'
        yield f'{storage}[postgres]\nurl = "{server.url}"\n'


@contextmanager
def deployed(section: str, timeout: float) -> Iterator[Deployed]:
    """Run all roles during the block, with one retry of each delivery."""
    engine = "postgres" if "[postgres]" in section else "embedded"
    with TemporaryDirectory(prefix="rolehost-proof-") as folder:
        port, path = free_port(), Path(folder, "proof.toml")
        path.write_text(
            f'plugins = ["{engine}", "ops", "webhooks-api", "webhooks-delivery"]\n'
            '[deployment]\nmigrate = "run"\n'
            f'[http]\nbind = "127.0.0.1:{port}"\n{section}'
            "[webhooks-delivery]\nallow_private = true\nschedule = [0.2]\njitter = 0.0\n"
            f"retry_after_longest = 0.2\ntimeout = {timeout}\n"
            # Else a silent receiver would get one request at a time.
            "probe_after = 1000\n"
        )
        command = [sys.executable, "-m", "rolehost", "run", str(path)]
        with running(command, Path(folder)) as host:
            host.until(READY)
            yield Deployed(path, f"http://127.0.0.1:{port}", host)


def ask(
    host: Deployed, path: str, body: dict[str, Any] | None = None, *, method: str | None = None
) -> Any:
    """Send a request to the API, by default GET or POST, and return the decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = Request(host.url + path, data, headers, method=method)
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def send(host: Deployed, urls: dict[str, str], count: int) -> None:
    """Make an endpoint for each URL, and send messages to all of them."""
    ask(host, "/api/v1/app", {"name": "Proof", "uid": "proof"})
    for name, url in urls.items():
        ask(host, f"{APP}/endpoint", {"url": url, "uid": name})
    for number in range(count):
        payload = {"number": number, "text": "x" * PAYLOAD}
        ask(host, f"{APP}/msg", {"eventType": "proof.sent", "payload": payload})


Found = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def ended(host: Deployed, endpoint: str, count: int) -> Found:
    """Wait until all deliveries of an endpoint have ended; return them and their attempts."""

    def listed() -> list[dict[str, Any]]:
        path = f"{APP}/endpoint/{endpoint}/msg?limit=250"
        rows: list[dict[str, Any]] = ask(host, path)["data"]
        return rows

    def final(rows: list[dict[str, Any]]) -> bool:
        return len(rows) == count and all(row["status"] in (SUCCESS, FAIL) for row in rows)

    deliveries = eventually(listed, final, seconds=PATIENCE)
    return deliveries, ask(host, f"{APP}/attempt/endpoint/{endpoint}?limit=250")["data"]


def judged(way: Way, found: Found, count: int, timeout: float) -> Iterator[str]:
    """Yield what is wrong with the deliveries to a receiver, and with their attempts."""
    deliveries, attempts = found
    final = SUCCESS if way.accepted else FAIL
    states = [row["status"] for row in deliveries]
    if states != [final] * count:
        yield f"deliveries {states}, not {count} times {final}"
    each = 1 if way.accepted else 2
    if len(attempts) != count * each:
        yield f"{len(attempts)} attempts recorded, not {count * each}"
    for attempt in attempts:
        shown = (attempt["responseStatusCode"], attempt.get("cause"))
        if shown != (way.status, way.cause):
            yield f"attempt recorded as {shown}, not {(way.status, way.cause)}"
        if attempt["responseDurationMs"] > (timeout + BEYOND) * 1000:
            yield f"an attempt took {attempt['responseDurationMs']} ms"


def unharmed(host: Deployed, healthy: Receiver, count: int) -> Iterator[str]:
    """Yield what is wrong with the deliveries to the healthy receiver."""
    ended(host, HEALTHY, count)
    wire = list(healthy.wire.values())
    if wire != [1] * count:
        yield f"the healthy receiver got {wire}"


def held(receivers: Receivers, timeout: float) -> Iterator[str]:
    """Yield the connections that were held too long."""
    for name, seconds in receivers.held.items():
        if seconds > timeout + BEYOND:
            yield f"{name}: a connection was held for {seconds:.1f} s"


def memory(host: Deployed) -> dict[int, int]:
    """Return the largest size so far of each worker process in MB."""
    found = {}
    for pid, role in processes(host.host.pid):
        if role == "worker":
            status = Path(f"/proc/{pid}/status").read_text()
            found[pid] = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    return found
