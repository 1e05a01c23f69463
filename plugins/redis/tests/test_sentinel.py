"""A failover by a real Sentinel: the same clients go on with the replica that was promoted."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from rolehost.api import Secret, StorageUnavailable
from rolehost_redis.cache import RedisCache
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings
from rolehost_testing.services import Server

PATIENCE = 60.0
#: Between two tries, while there is no primary.
STEP = 0.05


class Watched(NamedTuple):
    primary: Server
    replica: Server
    sentinel: str


@pytest.fixture
def watched(
    start_server: Callable[..., Server], free_port: int, tmp_path: Path
) -> Iterator[Watched]:
    """A primary, its replica, and a Sentinel that watches them."""
    options = {"password": "sesame", "parameters": {"masterauth": "sesame"}}
    primary, replica = start_server("redis", **options), start_server("redis", **options)
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", primary.port)
        _await(lambda: client.info("replication")["master_link_status"] == "up")
    file = tmp_path / "sentinel.conf"
    file.write_text(
        f"port {free_port}\nbind 127.0.0.1\ndir {tmp_path}\nrequirepass open\n"
        f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel auth-pass main sesame\n"
        "sentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 3000\n"
    )
    # A program that redis-server is itself, by another name.
    sentinel = subprocess.Popen(
        ["redis-server", str(file), "--sentinel"], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=free_port, password="open") as client:
            _await(lambda: _answers(free_port))
            _await(lambda: client.sentinel_master("main")["num-slaves"] == 1)
        yield Watched(primary, replica, f"127.0.0.1:{free_port}")
    finally:
        sentinel.kill()
        sentinel.wait()


def test_the_same_clients_go_on_after_a_failover(watched: Watched) -> None:
    settings = RedisSettings(
        url=Secret("redis://:sesame@main"),
        sentinels=(watched.sentinel,),
        sentinel_service="main",
        sentinel_password=Secret("open"),
        message_lease=1.0,
        timeout=1.0,
    )
    queue, cache = RedisQueue(settings), RedisCache(settings)
    calls: SimpleQueue[Any] = SimpleQueue()
    actor = dramatiq.Actor(
        calls.put, broker=queue.broker(), actor_name="act", queue_name="q", priority=0, options={}
    )
    listener = queue.listen({"queue:a"})
    worker = dramatiq.Worker(queue.broker(), worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        actor.send("before")
        assert calls.get(timeout=PATIENCE) == "before"
        watched.primary.stop(immediate=True)
        _await(lambda: _sent(actor))
        assert calls.get(timeout=PATIENCE) == "after"
        _await(lambda: _stored(cache))
        with redis.Redis.from_url(watched.replica.url) as promoted:
            assert promoted.info("replication")["role"] == "master"
        _await(lambda: queue.wake(["queue:a"]) or listener.wait(STEP))
    finally:
        worker.stop()
        queue.close()
        cache.close()


def _sent(actor: Any) -> bool:
    try:
        actor.send("after")
    except ConnectionClosed:
        return False
    return True


def _stored(cache: RedisCache) -> bool:
    try:
        cache.set("key", b"value", ttl=60)
    except StorageUnavailable:
        return False
    return cache.get("key") == b"value"


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _await(true: Callable[[], object]) -> None:
    """Poll until the answer is true."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(STEP)
