from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest
import redis
from rolehost.api import StorageBusy, StorageUnavailable
from rolehost_redis.cache import RedisCache
from rolehost_redis.settings import RedisSettings

#: Keeps the server busy for half a second.
_STALL = """
local function now() local t = redis.call('TIME'); return t[1] * 1000000 + t[2] end
local ends = now() + 500000
while now() < ends do end
"""


@pytest.fixture
def cache(settings: RedisSettings) -> Iterator[RedisCache]:
    cache = RedisCache(settings)
    yield cache
    cache.close()


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def test_clearing_leaves_other_keys_of_the_server(
    cache: RedisCache, settings: RedisSettings, raw: redis.Redis
) -> None:
    other = RedisCache(msgspec.structs.replace(settings, namespace=f"{settings.namespace}-2"))
    cache.set_many({f"key {number}": b"value" for number in range(2500)})
    other.set("key", b"value", ttl=60)
    raw.set(f"{settings.namespace}:another", b"value", ex=60)
    cache.clear()
    assert not list(raw.scan_iter(f"{settings.namespace}:cache:*"))
    assert other.get("key") == b"value"
    assert raw.exists(f"{settings.namespace}:another")
    other.close()


def test_a_counter_keeps_to_sixty_four_bits_exactly(cache: RedisCache) -> None:
    assert cache.incr("n", 2**53, ttl=60) == 2**53
    assert cache.incr("n") == 2**53 + 1
    with pytest.raises(ValueError, match="64 bits"):
        cache.incr("n", 2**63 - 1)
    assert cache.get("n") == b"%d" % (2**53 + 1)


def test_a_time_to_live_is_kept_in_milliseconds(
    cache: RedisCache, settings: RedisSettings, raw: redis.Redis
) -> None:
    cache.set("short", b"value", ttl=100.25)
    cache.set("long", b"value", ttl=90 * 86_400)
    cache.set("ever", b"value", ttl=float("inf"))
    assert 90_000 < raw.pttl(f"{settings.namespace}:cache:short") <= 100_250
    assert raw.ttl(f"{settings.namespace}:cache:long") > 89 * 86_400
    assert raw.ttl(f"{settings.namespace}:cache:ever") == -1


def test_a_command_that_got_no_answer_is_not_repeated(
    settings: RedisSettings, raw: redis.Redis
) -> None:
    cache = RedisCache(msgspec.structs.replace(settings, timeout=0.1))
    cache.ping()
    stalled = raw.connection_pool.get_connection()
    stalled.send_command("EVAL", _STALL, 0)
    with pytest.raises(StorageUnavailable, match=r"\[redis\] url"):
        cache.incr("n")
    stalled.read_response()
    raw.connection_pool.release(stalled)
    cache.close()
    after = RedisCache(settings)
    assert after.incr("n") == 2  # the server did count the one that nobody waited for
    after.close()


def test_a_call_waits_for_a_connection_no_longer_than_set(settings: RedisSettings) -> None:
    cache = RedisCache(msgspec.structs.replace(settings, connections=1, connection_wait=0.05))
    lent = threading.Event()
    done = threading.Event()

    def hold(_connection: object) -> None:
        lent.set()
        done.wait(20)

    holder = threading.Thread(target=cache._connections._with_connection, args=(hold, False))
    holder.start()
    assert lent.wait(20)
    with pytest.raises(StorageBusy, match=r"\[redis\] connections"):
        cache.ping()
    done.set()
    holder.join()
    cache.ping()
    cache.close()
