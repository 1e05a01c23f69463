"""Part of ``noisy-neighbours``: publishes events, in a process that can import the plugin.

``python -m tests.proofs.noisy_load DEPLOYMENT PATH``: for each line ``KIND FIRST COUNT RATE BAD``
of the input, publishes events with these numbers to the topics, or with the keys, of 100 neighbours
in turns, the first ``BAD`` of ten of which are bad; then prints when each was published, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rolehost.api import Event, StorageUnavailable
from rolehost.services import ProcessServices

from tests.proofs.deployed import client_services
from tests.proofs.noisy_plugin import KEYS, TOPICS, Sent


def publish(services: ProcessServices, event: Event[Sent]) -> None:
    """Publish an event surely; it may be published twice."""
    while True:
        try:
            services.publish(event)
            return
        except StorageUnavailable:
            time.sleep(0.05)  # a client's pause between two tries


def pace(
    services: ProcessServices, kind: str, numbers: range, rate: float, bad: int, path: str
) -> dict[int, int]:
    """Publish events at a steady rate; return when each was published."""
    began, sent = time.monotonic(), {}
    for done, number in enumerate(numbers):
        time.sleep(max(0.0, began + done / rate - time.monotonic()))  # the load's own pace
        neighbour = number % TOPICS
        topic, key = (KEYS, str(neighbour)) if kind == "keys" else (f"noisy-{neighbour}", None)
        data = Sent(number, neighbour % 10 < bad, path)
        sent[number] = time.monotonic_ns()
        publish(services, Event(topic=topic, type="noisy", data=data, key=key, id=str(number)))
    return sent


if __name__ == "__main__":
    name, path = sys.argv[1:]
    with client_services(Path(name)) as services:
        services.database.ping()
        print("ready", flush=True)
        for line in sys.stdin:
            kind, first, count, rate, bad = line.split()
            numbers = range(int(first), int(first) + int(count))
            found = pace(services, kind, numbers, float(rate), int(bad), path)
            print(json.dumps(found), flush=True)
