from __future__ import annotations

from collections.abc import Callable

import pytest
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings
from rolehost_testing.conformance import CacheRestartConformance


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server("memcached")


class TestMemcachedCacheRestart(CacheRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, server) -> Callable[[], MemcachedCache]:
        settings = MemcachedSettings(servers=(server.url.removeprefix("memcached://"),))
        return lambda: MemcachedCache(settings)
