"""Handle events in the loop of each client's documentation, or publish with its producer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg2

from benchmarks.programs.events_plugin import BATCH, Order
from benchmarks.tally import Tally

_MARK = (
    "INSERT INTO rolehost_inbox (consumer_group, event, handled_at) VALUES (%s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)
_EFFECT = "INSERT INTO effects (number) VALUES (%s)"


def batches(client: str, servers: str, topic: str, group: str) -> Iterator[list[Any]]:
    """Yield the (value, headers) pairs of each poll; commit after they were handled."""
    if client == "confluent":
        yield from _confluent(servers, topic, group)
    else:
        yield from _kafka_python(servers, topic, group)


def _confluent(servers: str, topic: str, group: str) -> Iterator[list[Any]]:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    while True:
        found = [each for each in consumer.consume(BATCH, 0.2) if each.error() is None]
        if found:
            yield [(each.value(), each.headers()) for each in found]
            consumer.commit(asynchronous=False)


def _kafka_python(servers: str, topic: str, group: str) -> Iterator[list[Any]]:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers.split(","),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    while True:
        # With shorter polls the client sometimes lost its assignment while it joined the group.
        found = consumer.poll(1000, max_records=BATCH)
        if found:
            yield [(each.value, each.headers) for part in found.values() for each in part]
            consumer.commit()


def drain(kind: str, where: list[str], tally: Tally, database: str) -> None:
    """Handle events until the process is stopped, with the same effects as the host's handler."""
    decode = msgspec.json.Decoder(Order).decode
    handle: Callable[[bytes, Any], None]
    if kind == "plain":

        def handle(value: bytes, _: Any) -> None:
            decode(value)

    else:
        connection = psycopg2.connect(database)
        cursor = connection.cursor()
        group = where[-1]

        def handle(value: bytes, headers: Any) -> None:
            order, (event,) = decode(value), [text for name, text in headers if name == "ce_id"]
            cursor.execute(_MARK, (group, event.decode(), time.time_ns() // 1_000_000))
            if cursor.rowcount:
                cursor.execute(_EFFECT, (order.number,))
            connection.commit()

    tally.await_begin()
    for batch in batches(*where):
        for value, headers in batch:
            handle(value, headers)
            tally.count_many(1)


def publish(client: str, servers: str, topic: str, count: int, together: int) -> None:
    """Publish with the bare producer and flush after each batch; print events per second."""
    records = [(b"x" * 100, b"key-%d" % (number % 1000)) for number in range(together)]
    send, flush = _producer(client, servers, topic)

    def round_() -> None:
        for value, key in records:
            send(value, key)
        flush()

    round_()  # opens the connection
    began = time.perf_counter()
    for _ in range(count // together):
        round_()
    print(json.dumps({"published": count / (time.perf_counter() - began)}))


def _producer(
    client: str, servers: str, topic: str
) -> tuple[Callable[[bytes, bytes], object], Callable[[], object]]:
    if client == "confluent":
        from confluent_kafka import Producer

        made = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5})
        failed: list[object] = []

        def report(error: object, _: object) -> None:
            if error is not None:
                failed.append(error)

        return lambda value, key: made.produce(topic, value, key, on_delivery=report), made.flush
    from kafka import KafkaProducer

    other = KafkaProducer(bootstrap_servers=servers.split(","), linger_ms=5, batch_size=65_536)
    return lambda value, key: other.send(topic, value, key), other.flush


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drain", kind, client, servers, topic, group, tally, database]:
            drain(kind, [client, servers, topic, group], Tally(Path(tally)), database)
        case ["publish", client, servers, topic, count, together]:
            publish(client, servers, topic, int(count), int(together))
