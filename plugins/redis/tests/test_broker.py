from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import msgspec
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from rolehost.api import Secret
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings

PATIENCE = 20.0
QUEUE = "broker"


@pytest.fixture
def open_queue(settings: RedisSettings) -> Iterator[Callable[[], RedisQueue]]:
    """A function that makes another process's client, with leases of a second."""
    short = msgspec.structs.replace(settings, message_lease=1.0)
    made: list[RedisQueue] = []

    def another() -> RedisQueue:
        made.append(RedisQueue(short))
        return made[-1]

    yield another
    for queue in made:
        queue.close()


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def _actor(queue: RedisQueue, fn: Callable[..., None] = lambda *_: None) -> Any:
    return dramatiq.Actor(
        fn, broker=queue.broker(), actor_name="act", queue_name=QUEUE, priority=0, options={}
    )


def _next(consumer: dramatiq.Consumer) -> Any:
    message = next(consumer)
    assert message is not None
    return message


def test_an_idle_consumer_is_woken_by_a_message(open_queue: Callable[[], RedisQueue]) -> None:
    sender, queue = _actor(open_queue()), open_queue()
    _actor(queue)
    consumer = queue.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    sender.send("woken")
    assert _next(consumer).args == ("woken",)
    consumer.close()


def test_an_idle_consumer_asks_nothing(
    open_queue: Callable[[], RedisQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue()
    _actor(queue)
    consumer = queue.broker().consume(QUEUE, timeout=1)
    assert next(consumer) is None

    def asked(*_: object) -> None:
        raise AssertionError("it polls")

    monkeypatch.setattr(queue.broker().held(QUEUE), "exchange", asked)
    for _ in range(20):
        assert next(consumer) is None
    consumer.close()


def test_what_an_owner_without_renewals_took_is_handed_out_again_when_the_lease_ends(
    open_queue: Callable[[], RedisQueue],
) -> None:
    queue, other = open_queue(), open_queue()
    _actor(queue).send("once")
    dead = "a" * 32  # a process that was killed after it took the message
    assert queue._store.exchange(QUEUE, dead, 1, 1).taken
    _actor(other)
    consumer = other.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    assert _next(consumer).args == ("once",)
    consumer.close()


def test_a_late_acknowledgement_takes_no_later_message_away(
    open_queue: Callable[[], RedisQueue], raw: redis.Redis, settings: RedisSettings
) -> None:
    queue = open_queue()
    actor = _actor(queue)
    actor.send("old")
    consumer = queue.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    old = _next(consumer)
    raw.delete(*raw.scan_iter(f"{settings.namespace}:queue:*"))  # Redis was emptied
    actor.send("new")
    consumer.ack(old)
    assert _next(consumer).args == ("new",)
    consumer.close()


def test_undecodable_and_rejected_messages_are_kept_aside(
    open_queue: Callable[[], RedisQueue],
) -> None:
    queue = open_queue()
    actor = _actor(queue)
    for poison in (b"\xff\x00", b"[]", b'{"no": "message"}'):
        queue._store.put(QUEUE, poison, 0)
    actor.send("rejected")
    consumer = queue.broker().consume(QUEUE, prefetch=8, timeout=int(PATIENCE * 1000))
    consumer.nack(_next(consumer))
    consumer.close()
    rejected, *poison = queue.dead_messages(10)
    assert {each.data for each in poison} == {b'{"no": "message"}', b"[]", b"\xff\x00"}
    assert all(each.reason.startswith("undecodable") for each in poison)
    assert b"rejected" in rejected.data
    assert queue._store.depth(QUEUE, taken=True) == 0


def test_delayed_messages_run_after_connections_broke(
    open_queue: Callable[[], RedisQueue], raw: redis.Redis
) -> None:
    queue = open_queue()
    calls: SimpleQueue[Any] = SimpleQueue()
    actor = _actor(queue, calls.put)
    worker = dramatiq.Worker(queue.broker(), worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        for number in range(20):
            actor.send_with_options(args=(number,), delay=300)
        raw.client_kill_filter(_type="normal", skipme=True)
        raw.client_kill_filter(_type="pubsub")
        assert {calls.get(timeout=PATIENCE) for _ in range(20)} == set(range(20))
    finally:
        worker.stop()


def test_a_closed_broker_serves_another_worker(open_queue: Callable[[], RedisQueue]) -> None:
    broker = open_queue().broker()
    broker.declare_queue(QUEUE)
    for number in range(3):
        broker.enqueue(dramatiq.Message(QUEUE, "act", (number,), {}, {}))
        consumer = broker.consume(QUEUE, timeout=int(PATIENCE * 1000))
        message = _next(consumer)
        assert message.args == (number,)
        consumer.ack(message)
        consumer.close()
        broker.close()
        assert broker.store.depth(QUEUE, taken=True) == 0


def test_with_acls_the_keys_and_channels_of_the_namespace_are_enough(
    url: str, settings: RedisSettings, raw: redis.Redis
) -> None:
    name = settings.namespace
    rules = ("on", ">sesame", f"~{name}:*", f"&{name}:*", "+@all", "-@dangerous")
    raw.execute_command("ACL", "SETUSER", name, *rules)
    try:
        parts = urlsplit(url)
        own = parts._replace(netloc=f"{name}:sesame@{parts.hostname}:{parts.port}")
        queue = RedisQueue(msgspec.structs.replace(settings, url=Secret(own.geturl())))
        listener = queue.listen({"queue:a"})
        queue.wake(["queue:a"])
        assert listener.wait(PATIENCE) == {"queue:a"}
        broker = queue.broker()
        broker.declare_queue(QUEUE)
        broker.enqueue(dramatiq.Message(QUEUE, "act", (), {}, {}))
        queue._store.exchange(QUEUE, "a" * 32, 1, 0)
        queue._store.exchange(QUEUE, "b" * 32, 1, 0, judge=True)
        consumer = broker.consume(QUEUE, timeout=int(PATIENCE * 1000))
        consumer.nack(_next(consumer))
        consumer.close()
        assert queue.replay_message(queue.dead_messages(1)[0], b"{}")
        queue.close()
    finally:
        raw.execute_command("ACL", "DELUSER", name)


def test_without_redis_sending_says_so(closed_port: int) -> None:
    queue = RedisQueue(RedisSettings(url=Secret(f"redis://127.0.0.1:{closed_port}")))
    actor = _actor(queue)
    with pytest.raises(ConnectionClosed):
        actor.send()
    queue.close()
