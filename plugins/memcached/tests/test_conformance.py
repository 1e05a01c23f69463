from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings
from rolehost_testing.conformance import CacheConformance


class TestMemcachedCache(CacheConformance):
    @pytest.fixture
    def make_backend(self, settings: MemcachedSettings) -> Callable[[], MemcachedCache]:
        return partial(MemcachedCache, settings)

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], MemcachedCache]:
        def make(host: str, port: int) -> MemcachedCache:
            servers = (f"{host}:{port}",)
            settings = MemcachedSettings(servers=servers, timeout=0.1, connect_timeout=0.1)
            return MemcachedCache(settings)

        return make

    @pytest.fixture
    def largest(self, settings: MemcachedSettings) -> int:
        return settings.max_value
