from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rolehost import schema
from rolehost_embedded.cache import EmbeddedCache
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.queue import EmbeddedQueue
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.stream import EmbeddedStream
from rolehost_testing.conformance import (
    CacheConformance,
    DatabaseConformance,
    QueueConformance,
    StreamConformance,
)


class TestEmbeddedDatabase(DatabaseConformance):
    @pytest.fixture
    def make_backend(self, settings: EmbeddedSettings) -> Callable[[], EmbeddedDatabase]:
        return partial(EmbeddedDatabase, settings)


class TestEmbeddedQueue(QueueConformance):
    @pytest.fixture
    def make_backend(self, settings: EmbeddedSettings) -> Callable[[], EmbeddedQueue]:
        return partial(EmbeddedQueue, settings)


class TestEmbeddedStream(StreamConformance):
    @pytest.fixture
    def make_backend(self, settings: EmbeddedSettings) -> Callable[[], EmbeddedStream]:
        database = EmbeddedDatabase(settings)
        schema.up(database, [("embedded", "rolehost_embedded.migrations")])
        database.close()
        return partial(EmbeddedStream, settings)


class TestEmbeddedCache(CacheConformance):
    @pytest.fixture
    def now(self) -> list[float]:
        return [1000.0]

    @pytest.fixture
    def make_backend(
        self, settings: EmbeddedSettings, now: list[float]
    ) -> Callable[[], EmbeddedCache]:
        return partial(EmbeddedCache, settings, clock=lambda: now[0])

    @pytest.fixture
    def advance(self, now: list[float]) -> Callable[[float], None]:
        def forward(seconds: float) -> None:
            now[0] += seconds

        return forward
