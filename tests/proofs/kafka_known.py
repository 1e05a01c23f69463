"""Part of ``kafka-faults``: the known faults of kafka-python, bare and in the host's stream."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rolehost.api import Event

from tests.proofs import kcat
from tests.proofs.kafka_ground import POLL, Place
from tests.proofs.kills import processes
from tests.proofs.kit import ROOT, Figures, Options

#: Clients of the stream to compare with bare kafka-python.
CLIENTS = ("kafka-python", "confluent")

Fault = Callable[[str, str, Path], dict[str, Any]]


def known(servers: str, folder: Path, options: Options) -> Figures:
    """Run every fault with bare kafka-python, and with each client of the stream."""
    task = options.progress(len(FAULTS) * (1 + len(CLIENTS)), "known faults")
    figures: dict[str, Any] = {}
    with ThreadPoolExecutor(3) as pool:
        runs = {}
        for name, (ours, _) in FAULTS.items():
            topic = f"{name}-{secrets.token_hex(4)}"
            runs[f"{name}_bare"] = pool.submit(_program, "kafka_bare", name, servers, topic)
            for client in CLIENTS:
                place = folder / f"{name}-{client}"
                runs[f"{name}_{client}"] = pool.submit(ours, servers, client, place)
        for name, run in runs.items():
            figures[name] = run.result()
            task.advance()
    for name, (_, faulty) in FAULTS.items():
        assert faulty(figures[f"{name}_bare"]), f"the bare client is well now: {name}: {figures}"
    return {name: json.dumps(seen).replace('"', "") for name, seen in figures.items()}


def deserialiser(servers: str, client: str, folder: Path) -> dict[str, Any]:
    """A poison message becomes a dead letter; later records of its partition are handled."""
    place = Place(folder, servers, client=client, handlers="poison")
    with place.publishing() as services, place.consuming() as host:
        services.publish(Event(topic="poison", type="n", data=0, key="k"))
        place.until("poison", 1, host)
        kcat.write(servers, f"{place.prefix}poison", "k", {}, b"no json")
        for number in range(1, 6):
            services.publish(Event(topic="poison", type="n", data=number, key="k"))
        place.until("poison", 6, host)
        dead = place.read("SELECT error FROM rolehost_dead_events")
    assert [row[0].split(":")[0] for row in dead] == ["PayloadError"], dead
    return {"handled": 6, "dead_letters": 1}


def commit(servers: str, client: str, folder: Path) -> dict[str, Any]:
    """A process is killed with records in flight: all are handled, each once."""
    place = Place(folder, servers, client=client, handlers="slow", slow=0.4)
    with place.publishing() as services, place.consuming() as host:
        with services.unit_of_work() as work:
            for number in range(8):
                work.publish(Event(topic="slow", type="n", data=number, key="k"))
        place.until("slow", 2, host)
        _kill(host.pid)
        place.until("slow", 8, host)
    numbers = [number for _, number, _ in place.effects("slow")]
    assert numbers == list(range(8)), f"{client}: {numbers}"
    return {"handled": 8, "lost": 0}


def stuck(servers: str, client: str, folder: Path) -> dict[str, Any]:
    """A handler exceeds the maximum poll interval: its member stays, and it runs once."""
    place = Place(folder, servers, client=client, handlers="slow", processes=2, slow=2 * POLL)
    with place.publishing() as services, place.consuming() as host:
        # Otherwise the other member joins while it runs, and waits only as long as a drain takes.
        place.shared("slow", 2)
        services.publish(Event(topic="slow", type="n", data=1, key="k"))
        place.until("slow", 1, host)
    starts = place.read("SELECT count(*) FROM starts")[0][0]
    assert starts == 1, f"{client}: started {starts} times"
    return {"runs": starts}


def rebalance(servers: str, client: str, _: Path) -> dict[str, Any]:
    """Revoking partitions takes two sessions: heartbeats continue, and the commit succeeds."""
    seen = _program("kafka_stream", "rebalance", servers, client)
    assert seen["moved"], f"{client}: {seen}"
    assert (seen["read"], seen["again"]) == (10, 0), f"{client}: {seen}"
    return seen


def fork(servers: str, client: str, _: Path) -> dict[str, Any]:
    """A stream created before a fork publishes in parent and child."""
    seen = _program("kafka_stream", "fork", servers, client)
    assert seen == {"parent": "sent", "child": "sent"}, f"{client}: {seen}"
    return seen


#: Our function for each fault, and the symptom of the bare client.
FAULTS: dict[str, tuple[Fault, Callable[[dict[str, Any]], bool]]] = {
    "stuck": (stuck, lambda seen: seen["runs"] > 1),
    "deserialiser": (deserialiser, lambda seen: seen["refused"] and not seen["read"]),
    "commit": (commit, lambda seen: seen["again"] < seen["returned"]),
    "rebalance": (
        rebalance,
        lambda seen: seen["commit"] not in ("done", "not tried") and seen["again"] > 0,
    ),
    "fork": (fork, lambda seen: seen["child"] != "sent"),
}


def _program(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"tests.proofs.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{module} {arguments}: {done.stdout}{done.stderr[-2000:]}"
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def _kill(supervisor: int) -> None:
    (consumer,) = [pid for pid, role in processes(supervisor) if role == "consumer"]
    os.kill(consumer, signal.SIGKILL)
