from __future__ import annotations

from collections.abc import Callable

import pytest
from rolehost.api import Secret
from rolehost_redis.cache import RedisCache
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings
from rolehost_testing.conformance import CacheRestartConformance, QueueRestartConformance


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server("redis")


@pytest.fixture
def settings(server, namespace: str) -> RedisSettings:
    url = Secret(server.url)
    return RedisSettings(url=url, namespace=namespace, message_lease=1.0, timeout=1.0)


class TestRedisCacheRestart(CacheRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, settings: RedisSettings) -> Callable[[], RedisCache]:
        return lambda: RedisCache(settings)


class TestRedisQueueRestart(QueueRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, settings: RedisSettings) -> Callable[[], RedisQueue]:
        return lambda: RedisQueue(settings)
