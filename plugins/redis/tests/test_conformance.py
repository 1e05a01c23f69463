from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rolehost.api import Secret
from rolehost_redis.cache import RedisCache
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings
from rolehost_testing.conformance import CacheConformance, QueueConformance


def _cache(url: str, namespace: str) -> RedisCache:
    return RedisCache(RedisSettings(url=Secret(url), namespace=namespace))


def _queue(url: str, namespace: str) -> RedisQueue:
    return RedisQueue(RedisSettings(url=Secret(url), namespace=namespace, message_lease=1.0))


class TestRedisCache(CacheConformance):
    @pytest.fixture
    def make_backend(self, url: str, namespace: str) -> Callable[[], RedisCache]:
        return partial(_cache, url, namespace)

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], RedisCache]:
        def make(host: str, port: int) -> RedisCache:
            url = Secret(f"redis://{host}:{port}/0")
            return RedisCache(RedisSettings(url=url, timeout=0.1, connect_timeout=0.1))

        return make


class TestRedisQueue(QueueConformance):
    @pytest.fixture
    def make_backend(self, url: str, namespace: str) -> Callable[[], RedisQueue]:
        return partial(_queue, url, namespace)

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], RedisQueue]:
        def make(host: str, port: int) -> RedisQueue:
            url = Secret(f"redis://{host}:{port}/0")
            return RedisQueue(RedisSettings(url=url, timeout=0.1, connect_timeout=0.1))

        return make
