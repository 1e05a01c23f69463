"""An unavailable cache causes no errors, and leaves no outdated values when it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from rolehost.api import Caching, StorageBusy, StorageError, StorageUnavailable
from rolehost.caching import CircuitBreaker
from rolehost.caching.breaker import FIRST_PAUSE, LONGEST_PAUSE
from rolehost_testing.services import Server

from tests.caching import kit
from tests.caching.kit import Failing, Remembers, open_values


class Setting:
    """A namespace over a cache that fails on demand, and the breaker's own clock."""

    def __init__(self, **options: Any) -> None:
        self.cache = Failing()
        self.recorder = Remembers()
        self.clock = 0.0
        self.breaker = CircuitBreaker(self.cache, self.recorder, clock=lambda: self.clock)
        self.values: Caching[Any] = open_values(self.cache, breaker=self.breaker, **options)

    def restore(self) -> None:
        self.cache.restore()
        self.clock += LONGEST_PAUSE


#: Every call that has a harmless answer, and the answer.
SPARED: dict[str, tuple[Callable[[Caching[Any]], Any], Any]] = {
    "get": (lambda values: values.get("key", "default"), "default"),
    "get_many": (lambda values: values.get_many(["key"]), {}),
    "set": (lambda values: values.set("key", 2), None),
    "set_many": (lambda values: values.set_many({"key": 2}), None),
    "delete": (lambda values: values.delete("key"), False),
    "touch": (lambda values: values.touch("key"), False),
    "invalidate": (lambda values: values.invalidate(), None),
    "drop_tagged": (lambda values: values.drop_tagged("tag"), 0),
    "get_or_compute": (lambda values: values.get_or_compute("key", lambda: 2), 2),
}

#: Those that have none.
RAISING: dict[str, Callable[[Caching[Any]], Any]] = {
    "add": lambda values: values.add("key", 2),
    "incr": lambda values: values.incr("key"),
}


@pytest.mark.parametrize("name", SPARED)
@pytest.mark.parametrize("calls", [1, 3])
def test_reads_are_misses_and_writes_are_dropped(name: str, calls: int) -> None:
    here = Setting()
    here.values.set("key", 1)
    here.cache.fail()
    call, answer = SPARED[name]
    assert [call(here.values) for _ in range(calls)] == [answer] * calls
    assert here.recorder.counts["error"] or here.recorder.counts["dropped"]


@pytest.mark.parametrize("name", RAISING)
def test_calls_without_a_safe_default_result_raise(name: str) -> None:
    here = Setting()
    here.cache.fail()
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="the server is away"):
            RAISING[name](here.values)


@pytest.mark.parametrize("name", [*SPARED, *RAISING])
def test_a_strict_namespace_raises_from_every_call(name: str) -> None:
    here = Setting(strict=True)
    here.cache.fail()
    call = RAISING[name] if name in RAISING else SPARED[name][0]
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="the server is away"):
            call(here.values)


def test_a_dead_server_is_probed_at_intervals_and_not_by_every_call() -> None:
    here = Setting()
    here.cache.fail()
    here.values.get("key")
    asked = here.cache.calls
    for _ in range(100):
        here.values.get("key")
    assert here.cache.calls == asked
    pauses = []
    for _ in range(1000):
        here.clock += FIRST_PAUSE / 2
        before = here.cache.calls
        here.values.get("key")
        if here.cache.calls > before:
            pauses.append(here.clock)
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(pauses)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LONGEST_PAUSE, abs=FIRST_PAUSE)


def test_calls_that_fail_together_make_the_pause_no_longer() -> None:
    here = Setting()
    for _ in range(20):
        here.breaker.failed("test", StorageUnavailable("away"))
    here.clock += FIRST_PAUSE
    assert here.breaker.admit()
    assert not here.breaker.admit(), "one probe at a time"


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = Setting()
    with caplog.at_level(logging.INFO, "rolehost.caching"):
        here.cache.fail()
        for _ in range(10):
            here.clock += 1
            here.values.get("key")
        here.restore()
        for _ in range(3):
            here.values.get("key")
    began, ended = (record.getMessage() for record in caplog.records)
    assert "the server is away" in began
    assert "is back" in ended


@pytest.mark.parametrize("lost", ["set", "set_many", "delete", "invalidate", "drop_tagged"])
def test_a_lost_write_removes_the_value_it_should_have_replaced(lost: str) -> None:
    here = Setting()
    here.values.set("key", 1, tags=["tag"])
    here.cache.fail()
    SPARED[lost][0](here.values)
    here.restore()
    assert here.values.get("key") is None
    here.values.set("key", 3)
    assert here.values.get("key") == 3


@pytest.mark.parametrize("lost", ["get", "touch", "get_or_compute"])
def test_a_value_that_a_lost_call_would_not_replace_is_kept(lost: str) -> None:
    here = Setting()
    here.values.set("key", 1)
    here.cache.fail()
    SPARED[lost][0](here.values)
    here.restore()
    assert here.values.get("key") == 1


def test_a_refused_value_is_dropped_with_the_one_it_replaces_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = Setting()
    here.values.set_many({"key": "small", "other": "small"})

    def refuse(*_: Any) -> None:
        raise StorageError("too large")

    here.cache.set = here.cache.set_many = refuse  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO, "rolehost.caching"):
        here.values.set("key", "large")
        here.values.set("key", "large")
        assert here.values.get("key") is None
        assert here.values.get("other") == "small"
        here.values.set_many({"other": "large"})
    assert here.values.get("other") is None
    assert [record.getMessage() for record in caplog.records] == [
        "the cache refuses a call of the namespace test: too large"
    ]
    assert here.recorder.counts["dropped"] == 3


def test_a_cache_whose_connections_are_all_in_use_is_no_outage() -> None:
    here = Setting()
    here.values.set("key", 1)
    here.cache.error = StorageBusy("all connections are in use")
    assert here.values.get("key") is None
    here.cache.restore()
    assert here.values.get("key") == 1


@pytest.mark.parametrize("name", ["redis", "memcached"])
def test_a_server_that_stops_and_comes_back(name: str, start_server: Callable[..., Server]) -> None:
    server = start_server(name)
    cache = getattr(kit, name)(server.url, "test")
    clock = [0.0]
    breaker = CircuitBreaker(cache, clock=lambda: clock[0])
    values = open_values(cache, breaker=breaker)
    values.set("key", 1)
    assert values.get("key") == 1
    server.stop(immediate=True)
    assert values.get("key") is None
    values.set("key", 2)
    assert values.get_or_compute("other", lambda: 3) == 3
    with pytest.raises(StorageUnavailable):
        values.incr("n")
    server.run()
    clock[0] += LONGEST_PAUSE
    assert values.get("key") is None
    values.set("key", 4)
    assert values.get("key") == 4
    assert values.incr("n") == 1
    cache.close()
