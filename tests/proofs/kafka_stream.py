"""The stream in cases where the bare client fails: programs that print their observations.

``python -m tests.proofs.kafka_stream rebalance|fork SERVERS CLIENT``
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from rolehost.api import Partition, Record
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

#: Session timeout in seconds.
SESSION = 2.0
PATIENCE = 30.0


def rebalance(settings: KafkaSettings) -> dict[str, Any]:
    """Take two sessions to revoke partitions, then commit."""
    stream, other = KafkaStream(settings), KafkaStream(settings)
    stream.publish([Record("t", b"%d" % number, key=b"%d" % number) for number in range(10)])
    ends: dict[Partition, int] = {}
    owned: set[Partition] = set()

    def revoked(partitions: Collection[Partition]) -> None:
        time.sleep(2 * SESSION)  # finishes the records in flight
        one.commit({each: ends[each] for each in partitions if each in ends})

    one = stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=revoked)
    two = other.subscribe(["t"], "g", on_assigned=owned.update, on_revoked=lambda _: None)
    deadline = time.monotonic() + PATIENCE
    read = 0
    while read < 10 and time.monotonic() < deadline:
        for delivery in one.poll(0.1, 100):
            ends[delivery.partition] = delivery.offset + 1
            read += 1
    again: list[Any] = []
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            again.extend(two.poll(0.1, 100))

    thread = threading.Thread(target=follow)
    thread.start()
    while not owned and time.monotonic() < deadline:
        again += one.poll(0.1, 100)
    ended.wait(1.0)  # time for a possible redelivery
    ended.set()
    thread.join()
    return {"read": read, "moved": len(owned), "again": len(again)}


def fork(settings: KafkaSettings) -> dict[str, Any]:
    """Create the stream, fork, and publish in parent and child."""
    stream = KafkaStream(settings)
    reading, writing = os.pipe()
    child = os.fork()
    try:
        stream.publish([Record("t", b"")])
        said = "sent"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    if not child:
        os.write(writing, said.encode())
        os._exit(0)
    os.wait()
    return {"parent": said, "child": os.read(reading, 1000).decode()}


PROGRAMS: dict[str, Callable[[KafkaSettings], dict[str, Any]]] = {
    "rebalance": rebalance,
    "fork": fork,
}

if __name__ == "__main__":
    chosen = KafkaSettings(
        client="confluent" if sys.argv[3] == "confluent" else "kafka-python",
        servers=tuple(sys.argv[2].split(",")),
        prefix=f"stream-{secrets.token_hex(4)}-",
        partitions=4,
        session_timeout=SESSION,
        poll_interval=PATIENCE,
    )
    print(json.dumps(PROGRAMS[sys.argv[1]](chosen)), flush=True)
    os._exit(0)
