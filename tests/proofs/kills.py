"""Kill random role processes during webhook traffic: no acknowledged message is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rolehost.api import AnyEvent, Event

from tests.proofs.deployed import Deployed, client_services, embedded
from tests.proofs.kit import Figures, Options
from tests.proofs.receiver import Receiver, receiving

PROMISE = (
    "With 5,000 events in flight and a random role process killed every second, everything"
    " acknowledged is delivered, and a deduplicating receiver sees each effect once"
)
DURATION = "about 90 s"
GROUPED = True

#: Timeout in seconds, after the last kill, for all deliveries.
PATIENCE = 180.0
#: Threads that post over HTTP; one more publishes into the stream.
SENDERS = 4
#: Events of the burst in one unit of work.
TOGETHER = 200


class Size(NamedTuple):
    """The size of a run.

    Attributes:
        burst: events acknowledged before the first kill.
        in_flight: minimum number of them that must be undelivered at the first kill.
        paced: messages sent one by one during the kills.
        kills: number of kills, one per second.
    """

    burst: int
    in_flight: int
    paced: int
    kills: int

    @property
    def events(self) -> int:
        """Number of all messages."""
        return self.burst + self.paced


FULL = Size(burst=6000, in_flight=5000, paced=2000, kills=60)
SHORT = Size(burst=800, in_flight=500, paced=100, kills=8)


def prove(options: Options) -> Figures:
    """Send, kill, wait, and compare the acknowledged messages with the receiver's ledger."""
    size = SHORT if options.short else FULL
    with embedded() as deployed, receiving() as receiver:
        prepare(deployed, receiver)
        load = Load(deployed, size, options)
        killer = Killer(deployed, size.kills, random.Random(options.seed), options)
        load.burst()
        in_flight = size.burst - len(receiver.ledger)
        assert in_flight >= size.in_flight, f"{in_flight} in flight at the first kill"
        load.start()
        killer.run()
        load.join()
        began = time.monotonic()
        acknowledged = load.acknowledged
        wanted = set(range(size.events))
        assert acknowledged == wanted, f"{len(wanted - acknowledged)} were never acknowledged"

        receiver.wait(lambda: len(receiver.ledger) >= size.events, PATIENCE)
        recovery = time.monotonic() - began
        effects = [json.loads(each.body)["n"] for each in receiver.ledger.values()]
        dead = dead_letters(deployed)
    lost = acknowledged - set(effects)
    double = len(effects) - len(set(effects))
    figures = {
        "in_flight_at_first_kill": in_flight,
        "kills": killer.kills,
        "killed": ",".join(f"{role}:{count}" for role, count in sorted(killer.roles.items())),
        "acknowledged": len(acknowledged),
        "delivered": len(set(effects)),
        "lost": len(lost),
        "double_effects": double,
        "wire_duplicates": sum(receiver.wire.values()) - len(receiver.ledger),
        "dead_letters": dead,
        "settled_after_seconds": round(recovery, 1),
    }
    assert not lost, f"acknowledged but lost: {sorted(lost)[:10]}; {figures}"
    assert not double, f"double effects: {figures}"
    assert not dead, f"dead letters: {figures}"
    return figures


def prepare(deployed: Deployed, receiver: Receiver) -> None:
    """Create the application and its endpoint."""
    post(f"{deployed.url}/api/v1/app", {"name": "kills", "uid": "kills"})
    post(f"{deployed.url}/api/v1/app/kills/endpoint", {"url": receiver.url})


def post(url: str, body: Any) -> int:
    """Post JSON once; return the status.

    Raises:
        OSError: there was no answer.
    """
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class Load:
    """Sends every number, over HTTP or through the stream, until it is acknowledged.

    A burst goes through the stream, so that it is in flight when the kills start. The other
    messages are spread over the time of the kills.
    """

    def __init__(self, deployed: Deployed, size: Size, options: Options) -> None:
        self._deployed = deployed
        self._size = size
        self._task = options.progress(size.events, "acknowledged")
        self._lock = threading.Lock()
        self._numbers = iter(range(size.burst, size.events))
        self._began = time.monotonic()
        self.acknowledged: set[int] = set()
        self._threads = [
            threading.Thread(target=self._over_http, daemon=True) for _ in range(SENDERS)
        ] + [threading.Thread(target=self._through_stream, daemon=True)]

    def burst(self) -> None:
        """Publish the first events, many in each unit of work."""
        with client_services(self._deployed.path) as services:
            for first in range(0, self._size.burst, TOGETHER):
                numbers = range(first, min(first + TOGETHER, self._size.burst))
                with services.unit_of_work() as work:
                    for number in numbers:
                        work.publish(event_of(number))
                for number in numbers:
                    self._acknowledge(number)

    def start(self) -> None:
        """Start to send the other messages."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until everything is acknowledged."""
        for thread in self._threads:
            thread.join(PATIENCE)

    def _take(self) -> Iterator[int]:
        pause = self._size.kills / self._size.paced
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            due = self._began + (number - self._size.burst) * pause
            time.sleep(max(0.0, due - time.monotonic()))  # the load's own pace
            yield number

    def _acknowledge(self, number: int) -> None:
        with self._lock:
            self.acknowledged.add(number)
        self._task.advance(1)

    def _over_http(self) -> None:
        url = f"{self._deployed.url}/api/v1/app/kills/msg"
        for number in self._take():
            body = {"eventType": "n", "eventId": f"http-{number}", "payload": {"n": number}}
            while True:
                try:
                    status = post(url, body)
                except OSError:
                    status = 0
                # 409: an earlier attempt was stored but its answer was lost.
                if status in (202, 409):
                    break
                time.sleep(0.05)  # a client's pause between two tries
            self._acknowledge(number)

    def _through_stream(self) -> None:
        from rolehost.api import StorageUnavailable

        with client_services(self._deployed.path) as services:
            for number in self._take():
                while True:
                    try:
                        services.publish(event_of(number))
                        break
                    except StorageUnavailable:
                        time.sleep(0.05)  # a client's pause between two tries
                self._acknowledge(number)


def event_of(number: int) -> AnyEvent:
    """Return the event that becomes the message with this number."""
    return Event(
        topic="webhooks",
        type="n",
        data=json.dumps({"n": number}).encode(),
        id=f"stream-{number}",
        key=str(number % 10),
        extensions={"webhooksapp": "kills"},
    )


class Killer:
    """Kills one random role process a second, by SIGKILL."""

    def __init__(
        self, deployed: Deployed, kills: int, source: random.Random, options: Options
    ) -> None:
        self._supervisor = deployed.host.pid
        self._wanted = kills
        self._source = source
        self._task = options.progress(kills, "kills")
        self.kills = 0
        self.roles: dict[str, int] = {}

    def run(self) -> None:
        """Kill until the wanted number is reached."""
        for _ in range(self._wanted):
            role = self._source.choice(("http", "consumer", "scheduler", "worker"))
            kill_one(self._supervisor, role, self._source.random())
            self.kills += 1
            self.roles[role] = self.roles.get(role, 0) + 1
            self._task.advance(1)
            time.sleep(1.0)  # the interval that the promise states


def kill_one(supervisor: int, role: str, which: float) -> None:
    """Kill a process of a role; ``which``, from 0 to 1, chooses one.

    Waits for a role that is being restarted, so that a seed always kills the same roles in the same
    order.
    """
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        found = [pid for pid, name in processes(supervisor) if name == role]
        if found:
            try:
                os.kill(sorted(found)[int(which * len(found))], signal.SIGKILL)
            except ProcessLookupError:
                continue
            return
        time.sleep(0.01)  # until the supervisor has restarted it
    raise AssertionError(f"no {role} process came back within 40 s")


def processes(supervisor: int) -> list[tuple[int, str]]:
    """Return (pid, role) of the supervisor's children and of gunicorn's workers."""
    found = []
    for child in children(supervisor):
        try:
            name = Path(f"/proc/{child}/comm").read_text().strip()
        except OSError:
            continue
        # A role process sets its title to rh:ROLE.SLOT; before that it does not count.
        if name.startswith("rh:"):
            role = name[3:].partition(".")[0]
            found += [(pid, role) for pid in (child, *children(child))]
    return found


def children(pid: int) -> list[int]:
    """Return the child processes of a process; empty if it has ended."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def dead_letters(deployed: Deployed) -> int:
    """Count the dead letters of the deployment."""
    with client_services(deployed.path) as services:
        standing = services.statistics()
    return standing.dead_jobs + standing.dead_events
