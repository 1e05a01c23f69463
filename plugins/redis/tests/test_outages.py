"""What becomes of messages and wake-ups when Redis, or who uses it, is away for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from rolehost.api import Secret
from rolehost_redis.cache import RedisCache
from rolehost_redis.held import SteadyConnection
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings
from rolehost_testing.services import Server

PATIENCE = 30.0
QUEUE = "outages"


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server("redis")


@pytest.fixture
def open_queue(server: Server) -> Iterator[Callable[..., RedisQueue]]:
    """A function that makes a client as another process has it."""
    made: list[RedisQueue] = []

    def another(**settings: Any) -> RedisQueue:
        given = {"url": Secret(server.url), "message_lease": 1.0, "timeout": 1.0, **settings}
        made.append(RedisQueue(RedisSettings(**given)))
        return made[-1]

    yield another
    for queue in made:
        queue.close()


def _actor(queue: RedisQueue, fn: Callable[..., object] = lambda *_: None) -> Any:
    return dramatiq.Actor(
        fn, broker=queue.broker(), actor_name="act", queue_name=QUEUE, priority=0, options={}
    )


def _next(consumer: dramatiq.Consumer) -> Any:
    message = next(consumer)
    assert message is not None
    return message


def test_what_was_taken_by_a_call_without_an_answer_is_handed_out(
    server: Server, open_queue: Callable[..., RedisQueue]
) -> None:
    sender, queue = open_queue(), open_queue(timeout=0.2)
    _actor(sender).send("once")
    _actor(queue)
    consumer = queue.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    queue.broker().store.depth(QUEUE)  # so that it is connected
    server.freeze()
    assert consumer._may_take()
    consumer._take()  # Redis takes the message when it goes on, and nobody hears of it
    server.thaw()
    message = _next(consumer)
    assert message.args == ("once",)
    consumer.ack(message)
    queue.broker().join(QUEUE, timeout=int(PATIENCE * 1000))
    consumer.close()


def test_a_frozen_redis_delays_what_is_sent_and_doubles_nothing(
    server: Server, open_queue: Callable[..., RedisQueue]
) -> None:
    queue = open_queue(timeout=0.2)
    calls: SimpleQueue[Any] = SimpleQueue()
    actor = _actor(queue, calls.put)
    worker = dramatiq.Worker(queue.broker(), worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        actor.send("before")
        assert calls.get(timeout=PATIENCE) == "before"
        server.freeze()
        with pytest.raises(ConnectionClosed):
            actor.send("unsure")
        server.thaw()
        actor.send("after")
        came = [calls.get(timeout=PATIENCE)]
        while "after" not in came:
            came.append(calls.get(timeout=PATIENCE))
        queue.broker().join(QUEUE, timeout=int(PATIENCE * 1000))
    finally:
        worker.stop()
    while not calls.empty():
        came.append(calls.get())
    # It had reached the server, unless a connection had to be made for it.
    assert sorted(came) in (["after", "unsure"], ["after"])


def test_emptying_redis_and_its_scripts_stops_neither_messages_nor_wake_ups(
    server: Server, open_queue: Callable[..., RedisQueue]
) -> None:
    queue, other = open_queue(), open_queue()
    calls: SimpleQueue[Any] = SimpleQueue()
    actor = _actor(queue, calls.put)
    listener = other.listen({"queue:a"})
    worker = dramatiq.Worker(queue.broker(), worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        with redis.Redis.from_url(server.url) as raw:
            for number in range(5):
                actor.send(number)
                assert calls.get(timeout=PATIENCE) == number
                raw.flushall()
                raw.script_flush()
                queue.wake(["queue:a"])
                assert listener.wait(PATIENCE) == {"queue:a"}
    finally:
        worker.stop()


def test_messages_survive_a_killed_redis_and_are_not_taken_from_those_who_run_them(
    server: Server, open_queue: Callable[..., RedisQueue]
) -> None:
    queue, other = open_queue(), open_queue()
    actor = _actor(queue)
    actor.send("held")
    mine = queue.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    held = _next(mine)
    actor.send_with_options(args=("delayed",), delay=1)
    server.stop(immediate=True)
    queue.broker().held(QUEUE).finish(held.number)  # done while Redis is away
    server.run()
    _actor(other)
    theirs = other.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    delayed = _next(theirs)
    assert delayed.args == ("delayed",)
    theirs.ack(delayed)
    theirs.close()
    queue.broker().join(QUEUE, timeout=int(PATIENCE * 1000))
    mine.close()


def test_who_is_connected_keeps_what_it_took_though_it_does_not_renew(
    open_queue: Callable[..., RedisQueue],
) -> None:
    stuck, other = open_queue(), open_queue()
    _actor(stuck).send("long")
    stuck.listen({"any"})  # it is connected
    owner = stuck._hub.owner
    assert stuck._store.exchange(QUEUE, owner, 1, 1).taken
    mine = other._hub.owner
    lapsed = _until_lapsed(other, owner)
    assert lapsed
    assert other._store.exchange(QUEUE, mine, 1, 1, judge=True).taken == []
    stuck._hub.close()  # as when its process is gone
    for call in range(2, 1000):
        if other._store.exchange(QUEUE, mine, call, 1, judge=True).taken:
            return
    raise AssertionError("a process that is gone kept its message")


def test_who_is_connected_but_silent_for_too_long_loses_what_it_took(
    open_queue: Callable[..., RedisQueue],
) -> None:
    frozen, other = open_queue(), open_queue(message_stall=0.1)
    _actor(frozen).send("long")
    frozen.listen({"any"})
    owner = frozen._hub.owner
    assert frozen._store.exchange(QUEUE, owner, 1, 1).taken
    assert _until_lapsed(other, owner)
    _actor(other)
    consumer = other.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    assert _next(consumer).args == ("long",)
    consumer.close()


def _until_lapsed(queue: RedisQueue, owner: str) -> bool:
    """Wait until a lease has ended by the server's clock."""
    client = queue._store._client
    ends = client.zscore(f"rolehost:queue:{QUEUE}:owners", owner)
    assert isinstance(ends, float)
    while True:
        seconds, micros = client.time()
        if seconds * 1000 + micros / 1000 > ends + 1:
            return True


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_who_was_in_touch_for_a_whole_lease_judges_others() -> None:
    clock = _Clock()
    steady = SteadyConnection(10.0, clock)
    assert not steady.lasts()
    steady.record_success()
    clock.now += 9
    steady.record_success()
    assert not steady.lasts()
    clock.now += 1
    assert steady.lasts()
    steady.record_failure()
    assert not steady.lasts()
    steady.record_success()
    clock.now += 10
    assert steady.lasts()
    clock.now += 1  # frozen for longer than a lease
    assert not steady.lasts()
    steady.record_success()
    assert not steady.lasts()


@pytest.mark.parametrize(
    "options", [{"tls": True}, {"password": "ses/ame#1"}], ids=["tls", "password"]
)
def test_messages_and_wake_ups_travel_with_tls_and_with_a_password(
    start_server: Callable[..., Server],
    open_queue: Callable[..., RedisQueue],
    options: dict[str, Any],
) -> None:
    secured = start_server("redis", **options)
    queue, other = (open_queue(url=Secret(secured.url)) for _ in range(2))
    listener = other.listen({"queue:a"})
    queue.wake(["queue:a"])
    assert listener.wait(PATIENCE) == {"queue:a"}
    _actor(queue).send("safe")
    _actor(other)
    consumer = other.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    assert _next(consumer).args == ("safe",)
    consumer.close()


def test_cache_and_queue_live_in_different_servers(
    server: Server, start_server: Callable[..., Server]
) -> None:
    second = start_server("redis")
    settings = RedisSettings(cache_url=Secret(server.url), queue_url=Secret(second.url))
    cache, queue = RedisCache(settings), RedisQueue(settings)
    cache.set("key", b"value", ttl=60)
    _actor(queue).send("message")
    with redis.Redis.from_url(server.url) as one, redis.Redis.from_url(second.url) as two:
        assert {key.split(b":")[1] for key in one.scan_iter()} == {b"cache"}
        assert not any(b":cache:" in key for key in two.scan_iter())
        assert two.dbsize()
    server.stop()
    assert queue.depth(QUEUE) == 1
    cache.close()
    queue.close()
