from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rolehost.testing.conformance import CacheConformance
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings


class TestMemcachedCache(CacheConformance):
    @pytest.fixture
    def make_backend(self, settings: MemcachedSettings) -> Callable[[], MemcachedCache]:
        return partial(MemcachedCache, settings)
