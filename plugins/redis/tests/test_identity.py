from __future__ import annotations

import pytest
from rolehost.api import Secret
from rolehost_redis.identity import identity
from rolehost_redis.settings import RedisSettings


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (RedisSettings(), "127.0.0.1:6379/0 rolehost"),
        (RedisSettings(url=Secret("redis://:hunter2@r.example")), "r.example:6379/0 rolehost"),
        (RedisSettings(url=Secret("rediss://r.example:7000/3")), "r.example:7000/3 rolehost"),
        (RedisSettings(url=Secret("redis://r.example?db=4")), "r.example:6379/4 rolehost"),
        (RedisSettings(url=Secret("unix:///run/redis.sock?db=2")), "/run/redis.sock/2 rolehost"),
        (RedisSettings(namespace="shop"), "127.0.0.1:6379/0 shop"),
        (
            RedisSettings(sentinels=("b:26379", "a:26379"), sentinel_service="main"),
            "main by way of a:26379,b:26379/0 rolehost",
        ),
    ],
)
def test_it_is_place_database_and_namespace(settings: RedisSettings, expected: str) -> None:
    assert identity(settings, "queue") == expected


def test_cache_and_queue_may_be_in_different_places() -> None:
    settings = RedisSettings(url=Secret("redis://one"), cache_url=Secret("redis://two"))

    assert identity(settings, "queue").startswith("one:")
    assert identity(settings, "cache").startswith("two:")
