"""Parked events on Kafka: offsets move on, other members continue, keys keep their order."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import defaultdict

import pytest
from rolehost.api import Complete, Event, RetryPolicy, handler
from rolehost.roles.consumer.role import ConsumerRole
from structlog.testing import capture_logs

pytestmark = [pytest.mark.engine, pytest.mark.needs("rolehost_embedded", "rolehost_kafka")]

SETTINGS = """
[storage]
stream = "kafka"
[kafka]
servers = ["{server}"]
prefix = "test-{prefix}-"
partitions = 4
session_timeout = 6.0
"""
KEYS, EVENTS = 9, 90


@pytest.fixture(autouse=True)
def logs():
    """Log lines are captured: tracebacks take seconds."""
    with capture_logs():
        yield


def until(true):
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not happen within 30 s")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
def test_parked_events_go_on_in_their_order_when_their_partitions_move(
    host, collected, kafka_url, asynchronous
):
    healed = threading.Event()

    def on(context, event):
        if event.data % KEYS < 3 and not healed.is_set():
            raise ValueError("not yet")
        with context.services.unit_of_work():
            collected.add((event.key, event.data))

    async def on_loop(context, event):
        await asyncio.sleep(0)
        return Complete(on, context, event)

    always = RetryPolicy(attempts=1000, delays=(0.05,))
    handled = handler(topic="things", group="g", payload=int, retry=always)
    server = kafka_url.removeprefix("kafka://")
    settings = SETTINGS.format(server=server, prefix=uuid.uuid4().hex[:12])
    here = host(
        handlers=[handled(on_loop if asynchronous else on)],
        settings=settings,
        plugins=("embedded", "kafka"),
    )
    here.start(ConsumerRole, "consumer")

    def publish(*numbers):
        with here.services.unit_of_work() as work:
            for n in numbers:
                work.publish(Event(topic="things", type="t", data=n, key=f"k{n % KEYS}"))

    publish(*range(3 * KEYS))
    until(lambda: len(collected.items) == 18)
    here.start(ConsumerRole, "consumer", 1)
    publish(*range(3 * KEYS, EVENTS))
    until(lambda: len(collected.items) == 60)
    until(lambda: here.services.statistics().lags[0].records == 0)
    assert here.services.statistics().parked_events == 30
    role, process = here.running.pop(0)
    process.drain()
    role.stop()
    process.stop()
    healed.set()
    by_key = defaultdict(list)
    for key, number in collected.wait(EVENTS):
        by_key[key].append(number)
    assert all(numbers == sorted(set(numbers)) for numbers in by_key.values())
    until(lambda: here.services.statistics().parked_events == 0)
