from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from rolehost.api import Secret, StorageUnavailable
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings

PATIENCE = 20.0


@pytest.fixture
def queue(settings: RedisSettings) -> Iterator[RedisQueue]:
    queue = RedisQueue(settings)
    yield queue
    queue.close()


@pytest.fixture
def cut(url: str) -> Iterator[Callable[[], None]]:
    """A function that breaks the connections of everybody who listens."""
    with redis.Redis.from_url(url) as client:
        yield lambda: client.client_kill_filter(_type="pubsub")


def test_a_listener_whose_connection_broke_is_woken_for_it_may_have_missed_something(
    queue: RedisQueue, cut: Callable[[], None]
) -> None:
    listener = queue.listen({"queue:a", "queue:b"})
    cut()
    assert listener.wait(PATIENCE) == {"queue:a", "queue:b"}
    queue.wake(["queue:b"])
    assert listener.wait(PATIENCE) == {"queue:b"}


def test_what_is_no_wake_up_is_passed_over(
    queue: RedisQueue, settings: RedisSettings, url: str
) -> None:
    listener = queue.listen({"queue:a"})
    with redis.Redis.from_url(url) as client:
        client.publish(f"{settings.namespace}:wake", b"\xff no names")
    queue.wake(["queue:a"])
    assert listener.wait(PATIENCE) == {"queue:a"}


def test_fleets_of_other_namespaces_are_not_woken(queue: RedisQueue, url: str) -> None:
    listener = queue.listen({"queue:a", "queue:b"})
    other = RedisQueue(RedisSettings(url=Secret(url), namespace="test-others"))
    other.wake(["queue:a"])
    other.close()
    queue.wake(["queue:b"])
    assert listener.wait(PATIENCE) == {"queue:b"}


def test_with_redis_away_waking_and_listening_go_on(closed_port: int) -> None:
    settings = RedisSettings(
        url=Secret(f"redis://127.0.0.1:{closed_port}"), connect_timeout=0.05, timeout=0.05
    )
    queue = RedisQueue(settings)
    listener = queue.listen({"queue:a"})
    queue.wake(["queue:a"])
    assert listener.wait(0) == frozenset()
    with pytest.raises(StorageUnavailable, match=r"\[redis\] url"):
        queue.ping()
    queue.close()


def test_closing_does_not_wait_for_a_server_that_is_silent(silent_port: int) -> None:
    settings = RedisSettings(
        url=Secret(f"redis://127.0.0.1:{silent_port}"), connect_timeout=0.1, timeout=0.1
    )
    queue = RedisQueue(settings)
    queue.listen({"queue:a"})
    queue.wake(["queue:a"])
    queue.close()
