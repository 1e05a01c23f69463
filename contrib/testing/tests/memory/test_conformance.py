from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("peewee")
pytest.importorskip("dramatiq")
from rolehost_testing.conformance import (
    CacheConformance,
    DatabaseConformance,
    QueueConformance,
    StreamConformance,
)
from rolehost_testing.memory import MemoryWorld, Threads
from rolehost_testing.memory.cache import MemoryCache
from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.memory.queue import MemoryQueue
from rolehost_testing.memory.store import Store
from rolehost_testing.memory.stream import MemoryStream


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    world = MemoryWorld()
    yield world
    world.close()


class TestMemoryDatabase(DatabaseConformance):
    one_process = True

    @pytest.fixture
    def make_backend(self) -> Iterator[Callable[[], MemoryDatabase]]:
        store = Store()
        yield lambda: MemoryDatabase(store, Threads())
        store.remove()


class TestMemoryQueue(QueueConformance):
    one_process = True

    @pytest.fixture
    def make_backend(self, world: MemoryWorld) -> Callable[[], MemoryQueue]:
        return lambda: MemoryQueue(world)


class TestMemoryStream(StreamConformance):
    one_process = True

    @pytest.fixture
    def make_backend(self, world: MemoryWorld) -> Callable[[], MemoryStream]:
        return lambda: MemoryStream(world.topics)


class TestMemoryCache(CacheConformance):
    one_process = True

    @pytest.fixture
    def now(self) -> list[float]:
        return [1000.0]

    @pytest.fixture
    def make_backend(self, now: list[float]) -> Callable[[], MemoryCache]:
        cache = MemoryCache(lambda: now[0])
        return lambda: cache

    @pytest.fixture
    def advance(self, now: list[float]) -> Callable[[float], None]:
        def forward(seconds: float) -> None:
            now[0] += seconds

        return forward
