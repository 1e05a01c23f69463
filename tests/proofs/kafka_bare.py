"""The known faults of bare kafka-python: a program for each, which prints its observations.

``python -m tests.proofs.kafka_bare FAULT SERVERS TOPIC``
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

#: Session timeout and maximum poll interval, in milliseconds.
SESSION, POLL = 2000, 3000
#: Seconds for which a program is watched.
WATCHED = 4.0
#: Seconds to join a group and read the waiting records, also on a busy machine. A poll must not
#: end sooner: if it ends while its consumer joins the group, the consumer may never get partitions
#: (kafka-python 3.0, if the leader has just learned of the topic).
JOINED = 30.0


def deserialiser(servers: str, topic: str) -> dict[str, Any]:
    """A record that the deserialiser refuses, and one after it."""
    _produce(servers, topic, [b"no json", b"1"])
    read: list[object] = []
    met = threading.Event()

    def poll() -> None:
        consumer = _consumer(servers, topic, value_deserializer=json.loads)
        while True:
            try:
                found = consumer.poll(JOINED * 1000)
            except ValueError:
                met.set()
                continue  # a careful program logs the error and continues
            read.extend(record.value for records in found.values() for record in records)

    threading.Thread(target=poll, daemon=True).start()
    refused = met.wait(JOINED)
    used, began = time.process_time(), time.monotonic()
    time.sleep(WATCHED)  # the observation time
    share = (time.process_time() - used) / (time.monotonic() - began)
    return {"refused": refused, "read": len(read), "processor_percent": round(100 * share)}


def commit(servers: str, topic: str) -> dict[str, Any]:
    """Records are handed to threads, a commit follows, the process dies."""
    _produce(servers, topic, [b"%d" % number for number in range(10)])
    first = _consumer(servers, topic)
    returned = _read(first, 10, JOINED)
    first.commit()
    first.close(autocommit=False)  # no record was processed
    return {"returned": returned, "again": _read(_consumer(servers, topic), 10, WATCHED)}


def rebalance(servers: str, topic: str) -> dict[str, Any]:
    """A listener finishes the records in flight, which takes two sessions, and commits them."""
    _produce(servers, topic, [b"%d" % number for number in range(10)])
    committed: list[str] = []

    class Slow(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: object) -> None:
            if not revoked:
                return
            time.sleep(SESSION / 1000 * 2)  # finish the records in flight
            try:
                one.commit()
                committed.append("done")
            except Exception as error:
                committed.append(type(error).__name__)

        def on_partitions_assigned(self, assigned: object) -> None:
            pass

    one = _consumer(servers, topic, listener=Slow())
    _read(one, 10, JOINED)
    two = _consumer(servers, topic)
    again: list[int] = []
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            again.append(sum(map(len, two.poll(100).values())))

    thread = threading.Thread(target=follow)
    thread.start()
    deadline = time.monotonic() + JOINED
    while time.monotonic() < deadline and not (committed and any(again)):
        again.append(sum(map(len, one.poll(100).values())))
    ended.set()
    thread.join()
    return {"commit": (committed or ["not tried"])[0], "again": sum(again)}


def fork(servers: str, topic: str) -> dict[str, Any]:
    """A producer is created before a fork and used after it."""
    producer = KafkaProducer(bootstrap_servers=servers.split(","), max_block_ms=3000)
    producer.send(topic, b"parent").get(10)
    reading, writing = os.pipe()
    if not os.fork():
        try:
            producer.send(topic, b"child").get(WATCHED)
            said = "sent"
        except Exception as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.wait()
    return {"child": os.read(reading, 100).decode()}


def stuck(servers: str, topic: str) -> dict[str, Any]:
    """A handler takes longer than the maximum poll interval."""
    _produce(servers, topic, [b"1"])
    runs: list[int] = []
    ended = threading.Event()

    def work(number: int) -> None:
        consumer = _consumer(servers, topic)
        while not ended.is_set():
            for records in consumer.poll(JOINED * 1000).values():
                for _ in records:
                    runs.append(number)
                    ended.wait(POLL / 1000 * 2)  # the work itself
                    with contextlib.suppress(KafkaError):
                        consumer.commit()

    threads = [threading.Thread(target=work, args=(each,), daemon=True) for each in range(2)]
    for thread in threads:
        thread.start()
    ended.wait(POLL / 1000 * 4)
    ended.set()
    return {"runs": len(runs)}


FAULTS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    each.__name__: each for each in (deserialiser, commit, rebalance, fork, stuck)
}


def _produce(servers: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=servers.split(","))
    for value in values:
        producer.send(topic, value, key=b"k").get(10)
    producer.close()


def _consumer(servers: str, topic: str, listener: Any = None, **options: Any) -> Any:
    consumer = KafkaConsumer(
        bootstrap_servers=servers.split(","),
        group_id=f"{topic}-bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION,
        heartbeat_interval_ms=SESSION // 10,
        max_poll_interval_ms=POLL,
        request_timeout_ms=10_000,
        **options,
    )
    consumer.subscribe([topic], listener=listener)
    return consumer


def _read(consumer: Any, count: int, seconds: float) -> int:
    found, deadline = 0, time.monotonic() + seconds
    while found < count and time.monotonic() < deadline:
        left = max(0.0, deadline - time.monotonic())
        found += sum(map(len, consumer.poll(left * 1000).values()))
    return found


if __name__ == "__main__":
    seen = FAULTS[sys.argv[1]](sys.argv[2], sys.argv[3])
    print(json.dumps(seen), flush=True)
    os._exit(0)  # threads that the fault leaves behind would keep the program alive
