"""What is known of messages whose processes died, and what is no death."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
import redis
from rolehost.api import Secret
from rolehost_redis.messages import MessageStore, TakenMessage
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings
from rolehost_testing.services import Server

PATIENCE = 30.0
QUEUE = "crashes"
#: Processes that are not connected, so that their end is that of their lease.
DEAD, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def open_queue(url: str, namespace: str) -> Iterator[Callable[..., RedisQueue]]:
    """A function that makes a client as another process has it, with leases of a second."""
    made: list[RedisQueue] = []

    def another(own: str = url) -> RedisQueue:
        made.append(RedisQueue(RedisSettings(url=Secret(own), namespace=namespace, **SHORT)))
        return made[-1]

    yield another
    for queue in made:
        queue.close()


SHORT: Any = {"message_lease": 1.0, "timeout": 1.0}


@pytest.fixture
def store(open_queue: Callable[..., RedisQueue]) -> MessageStore:
    return open_queue()._store


def _put(store: MessageStore) -> None:
    store.put(QUEUE, dramatiq.Message(QUEUE, "act", (), {}, {}).encode(), 0)


def _take(store: MessageStore, owner: str = DEAD) -> TakenMessage:
    (taken,) = store.exchange(QUEUE, owner, time.monotonic_ns(), 1).taken
    return taken


def _inherit(store: MessageStore, owner: str = OTHER) -> TakenMessage:
    """Take as a survivor does what another had when its lease ended."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        call = time.monotonic_ns()
        for taken in store.exchange(QUEUE, owner, call, 1, judge=True).taken:
            return taken
    raise AssertionError("a lease did not end")


def test_a_suspect_is_charged_when_it_ran_and_not_when_it_was_only_fetched(
    store: MessageStore,
) -> None:
    _put(store)
    assert _take(store).crashes is None
    assert (suspect := _inherit(store)).crashes == 0
    assert _inherit(store, DEAD).crashes == 0, "it had been fetched"
    assert store.start(QUEUE, suspect.number, DEAD)
    assert _inherit(store).crashes == 1
    store.leave(QUEUE, OTHER)
    assert _take(store).crashes == 1, "who leaves in order did not die"


def test_what_others_have_is_not_started_and_not_finished_by_who_was_taken_for_dead(
    store: MessageStore, open_queue: Callable[..., RedisQueue]
) -> None:
    _put(store)
    _take(store)
    _inherit(store)
    frozen = open_queue()
    frozen.broker().declare_queue(QUEUE)
    consumer = frozen.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    message: Any = next(consumer)
    assert message.crashes == 0
    holder = f"{OTHER}#1#"
    with redis.Redis.from_url(frozen._server.settings.url.reveal()) as raw:  # type: ignore[union-attr]
        taken = f"{frozen._server.settings.namespace}:queue:{QUEUE}:taken"
        raw.hset(taken, message.number, holder)
        assert not message.start()
        consumer.ack(message)
        frozen.broker().held(QUEUE).exchange(0)
        assert raw.hget(taken, message.number) == holder.encode()
        raw.hset(taken, message.number, f"{frozen._hub.owner}#1#")
    consumer.close()


def test_what_was_given_up_or_dropped_leaves_no_count(
    store: MessageStore, open_queue: Callable[..., RedisQueue], url: str, namespace: str
) -> None:
    crashes = f"{namespace}:queue:{QUEUE}:crashes"
    with redis.Redis.from_url(url) as raw:
        for end in ("done", "buried", "flushed"):
            _put(store)
            _take(store)
            suspect = _inherit(store)
            assert raw.hlen(crashes) == 1
            if end == "done":
                done = [suspect.number]
                store.exchange(QUEUE, OTHER, time.monotonic_ns(), 0, done=done)
            elif end == "buried":
                store.move_to_dead(QUEUE, suspect.number, "no")
                (letter,) = store.dead_messages(10)
                assert store.replay_message(letter, letter.data)
                assert _take(store, OTHER).crashes is None
                store.move_to_dead(QUEUE, suspect.number, "no")
            else:
                store.empty(QUEUE)
            assert not raw.exists(crashes), end


def test_where_nobody_dies_nothing_is_counted(
    open_queue: Callable[..., RedisQueue], url: str, namespace: str
) -> None:
    broker = open_queue().broker()
    actor: Any = dramatiq.Actor(
        lambda _: None, broker=broker, actor_name="act", queue_name=QUEUE, priority=0, options={}
    )
    for number in range(100):
        actor.send(number)
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    broker.join(QUEUE, timeout=int(PATIENCE * 1000))
    worker.stop()
    with redis.Redis.from_url(url) as raw:
        assert not raw.exists(f"{namespace}:queue:{QUEUE}:crashes")


@pytest.mark.parametrize("fate", ["killed", "emptied", "frozen"])
def test_what_befalls_redis_is_no_death_of_who_runs_a_message(
    open_queue: Callable[..., RedisQueue], start_server: Callable[..., Server], fate: str
) -> None:
    server: Any = start_server("redis")
    runs, watches = open_queue(server.url), open_queue(server.url)
    _put(runs._store)
    _take(runs._store)
    watches.broker().held(QUEUE)  # renews, and judges once it has been steady
    _inherit(runs._store)
    runs._store.leave(QUEUE, OTHER)
    runs.broker().declare_queue(QUEUE)
    consumer = runs.broker().consume(QUEUE, timeout=int(PATIENCE * 1000))
    message: Any = next(consumer)
    assert (message.crashes, message.start()) == (0, True)
    if fate == "killed":
        server.stop(immediate=True)
        server.run()
    elif fate == "emptied":
        with redis.Redis.from_url(server.url) as raw:
            raw.flushall()
    else:
        server.freeze()
        time.sleep(1.5)  # longer than a lease
        server.thaw()
    assert message.start(), "nobody else has it"
    steady = watches.broker()._steady
    until = time.monotonic() + PATIENCE
    while not steady.lasts():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert watches.broker().held(QUEUE).exchange(1)[0] == []
    consumer.ack(message)
    consumer.close()
    assert runs._store.depth(QUEUE, taken=True) == 0
    assert runs.dead_messages(10) == []
