"""Tags, limits and locks as Redis keeps them, also when it is emptied."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from rolehost.api import Secret
from rolehost_redis.cache import RedisCache
from rolehost_redis.settings import RedisSettings
from rolehost_testing.services import Server


@pytest.fixture
def cache(settings: RedisSettings) -> Iterator[RedisCache]:
    cache = RedisCache(settings)
    yield cache
    cache.close()


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def test_tokens_rise_also_when_redis_is_emptied_and_its_scripts_forgotten(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("redis")
    cache = RedisCache(RedisSettings(url=Secret(server.url)))
    before = cache.lock("name", 60)
    assert before is not None
    with redis.Redis.from_url(server.url) as raw:
        raw.flushall()
        raw.script_flush()
    assert not cache.renew(before, 60)
    after = cache.lock("name", 60)
    assert after is not None
    assert after.token > before.token
    assert not cache.release(before)
    assert cache.release(after)
    cache.close()


def test_tokens_rise_when_the_servers_clock_was_ahead(
    cache: RedisCache, settings: RedisSettings, raw: redis.Redis
) -> None:
    ahead = 4_000_000_000_000_000
    raw.set(f"{settings.namespace}:lock:name\n", ahead, ex=60)
    lease = cache.lock("name", 60)
    assert lease is not None
    assert lease.token == ahead + 1
    assert cache.release(lease)


def test_limits_and_locks_leave_no_keys_behind(
    cache: RedisCache, settings: RedisSettings, raw: redis.Redis
) -> None:
    cache.hit("name", 10, 60)
    lease = cache.lock("name", 30)
    assert lease is not None
    cache.set_tagged("key", b"value", ["tag"], ttl=60)
    keys = list(raw.scan_iter(f"{settings.namespace}:*"))
    assert len(keys) == 6
    assert all(raw.ttl(key) > 0 for key in keys)


def test_a_tag_lives_as_long_as_the_longest_of_its_entries(
    cache: RedisCache, settings: RedisSettings, raw: redis.Redis
) -> None:
    tag = f"{settings.namespace}:cache-tag:tag"
    cache.set_tagged("a", b"1", ["tag"], ttl=1000)
    cache.set_tagged("b", b"1", ["tag"], ttl=10)
    assert 900 < raw.ttl(tag) <= 1000
    cache.set_tagged("c", b"1", ["tag"])
    assert raw.ttl(tag) == -1
    cache.touch("c", 10)
    assert 900 < raw.ttl(tag) <= 1000
    assert cache.drop_tagged(["tag"]) == 3
    cache.clear()
    assert not list(raw.scan_iter(f"{settings.namespace}:*"))


def test_the_cache_and_the_queue_may_be_on_servers_of_their_own(
    start_server: Callable[..., Server], url: str
) -> None:
    server = start_server("redis")
    cache = RedisCache(RedisSettings(url=Secret(url), cache_url=Secret(server.url)))
    cache.set("key", b"value")
    with redis.Redis.from_url(server.url) as raw:
        assert raw.get("rolehost:cache:key") == b"value"
    cache.close()


def test_many_limits_do_not_add_up_their_roundings(cache: RedisCache) -> None:
    answers = [cache.hit("sevenths", 7, 3600) for _ in range(8)]
    assert [answer.allowed for answer in answers] == [True] * 7 + [False]
    assert [answer.remaining for answer in answers] == [6, 5, 4, 3, 2, 1, 0, 0]
