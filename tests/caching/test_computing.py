"""One computes, the others wait: in threads, among processes, near the end of a value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
from rolehost.api import Cache
from rolehost.caching.keys import digest
from rolehost_testing.conformance.clients import PATIENCE, in_threads, process

from tests.caching.kit import Chance, Remembers, open_values


class Origin:
    """Counts how often it is asked."""

    def __init__(self, value: Any = "value") -> None:
        self.value = value
        self.asked = 0
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        with self._lock:
            self.asked += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_a_value_is_computed_once_and_then_found(cache: Cache) -> None:
    recorder = Remembers()
    values, origin = open_values(cache, recorder=recorder), Origin()
    for _ in range(3):
        assert values.get_or_compute("key", origin) == "value"
    assert origin.asked == 1
    assert values.get("key") == "value"
    assert recorder.counts == {"miss": 1, "computed": 1, "hit": 3}


def test_of_threads_that_miss_together_one_computes(cache: Cache) -> None:
    values = open_values(cache)
    asked, others = [], threading.Event()

    def compute() -> list[int]:
        asked.append(1)
        others.wait(0.2)  # long enough for the others to come; none of them ends it
        return [1]

    found: list[Any] = []
    in_threads(8, lambda _: found.append(values.get_or_compute("key", compute)))
    assert found == [[1]] * 8
    assert len(asked) == 1
    found[0].append(2)
    assert all(each is found[0] or each == [1] for each in found), "each has a value of its own"


def test_threads_that_waited_get_the_exception_and_nothing_is_kept(cache: Cache) -> None:
    values = open_values(cache)
    begun, go_on = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        go_on.wait(PATIENCE)
        raise OSError("no origin")

    raised: list[Exception] = []

    def ask() -> None:
        try:
            values.get_or_compute("key", fail)
        except OSError as error:
            raised.append(error)

    first = threading.Thread(target=ask)
    first.start()
    assert begun.wait(PATIENCE)
    second = threading.Thread(target=ask)
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert len(raised) == 2
    assert values.get_or_compute("key", lambda: 1) == 1


def test_none_is_a_value_by_default(cache: Cache) -> None:
    kept, origin = open_values(cache, int), Origin(None)
    for _ in range(2):
        assert kept.get_or_compute("key", origin) is None
    assert origin.asked == 1
    assert kept.get("key", 7) is None
    unkept, origin = open_values(cache, int, namespace="unkept", none_ttl=0), Origin(None)
    for _ in range(2):
        assert unkept.get_or_compute("key", origin) is None
    assert origin.asked == 2


@pytest.mark.parametrize("took", [0.0, 2.0])
def test_a_value_is_computed_early_by_how_long_it_took(cache: Cache, took: float) -> None:
    now = [1000.0]
    # -ln(1 - 0.6321) = 1: early by exactly the time that computing took.
    values = open_values(cache, now=lambda: now[0], chance=Chance(0.6321205588))
    data = values._serializer.dump_computed("old", 1060.0, took)
    values._entries.store("key", data, 100)
    now[0] = 1057.9
    assert values.get_or_compute("key", lambda: "new") == "old"
    now[0] = 1058.1
    assert values.get_or_compute("key", lambda: "new") == ("new" if took else "old")
    assert values.get("key") == ("new" if took else "old")


def test_early_computing_can_be_turned_off(cache: Cache) -> None:
    values = open_values(cache, chance=Chance(0.999), eagerness=0.0)
    data = values._serializer.dump_computed("old", 1000.1, 50.0)
    values._entries.store("key", data, 100)
    assert values.get_or_compute("key", lambda: "new") == "old"


def test_when_an_early_computation_fails_the_value_is_served(cache: Cache) -> None:
    values = open_values(cache, chance=Chance(0.999))
    data = values._serializer.dump_computed("old", 1001.0, 50.0)
    values._entries.store("key", data, 100)
    assert values.get_or_compute("key", Origin(OSError("no origin"))) == "old"


def test_a_stale_value_is_served_when_computing_fails_and_replaced_when_it_works(
    cache: Cache,
) -> None:
    now, recorder = [1000.0], Remembers()
    values = open_values(cache, now=lambda: now[0], recorder=recorder, ttl=60, stale=3600)
    values.get_or_compute("key", lambda: "old")
    now[0] += 61
    assert values.get("key") is None
    assert values.get_or_compute("key", Origin(OSError("no origin"))) == "old"
    assert recorder.counts["stale"] == 1
    assert values.get_or_compute("key", lambda: "new") == "new"
    assert values.get("key") == "new"


def test_while_one_computes_the_others_are_served_the_stale_value(cache: Cache) -> None:
    now = [1000.0]
    values = open_values(cache, now=lambda: now[0], ttl=60, stale=3600)
    values.get_or_compute("key", lambda: "old")
    now[0] += 61
    begun, go_on = threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        go_on.wait(PATIENCE)
        return "new"

    thread = threading.Thread(target=values.get_or_compute, args=("key", compute))
    thread.start()
    assert begun.wait(PATIENCE)
    assert values.get_or_compute("key", Origin("never")) == "old"
    go_on.set()
    thread.join()
    assert values.get_or_compute("key", Origin("never")) == "new"


def test_a_value_is_not_stored_if_its_namespace_was_invalidated_while_it_was_computed(
    cache: Cache,
) -> None:
    values = open_values(cache)

    def compute() -> str:
        values.invalidate()
        return "old"

    assert values.get_or_compute("key", compute) == "old"
    assert values.get("key") is None


def _compute(channel: Connection, make: Callable[[], Cache], hold: bool) -> None:
    """Request the value; report when it is being computed, and the result."""
    cache = make()

    def compute() -> str:
        channel.send("computing")
        if hold:
            channel.recv()
        return "theirs"

    channel.send(open_values(cache, patience=10).get_or_compute("key", compute))
    cache.close()


def test_of_processes_that_miss_together_one_computes(make_shared: Callable[[], Cache]) -> None:
    cache = make_shared()
    values, origin = open_values(cache, patience=10), Origin("ours")
    with process(_compute, make_shared, True) as child:
        assert child.receive() == "computing"
        found: list[str] = []
        waiter = threading.Thread(target=lambda: found.append(values.get_or_compute("key", origin)))
        waiter.start()
        child.send("go on")
        waiter.join()
        assert child.receive() == "theirs"
        child.finish()
    assert found == ["theirs"]
    assert origin.asked == 0
    cache.close()


def test_if_the_computing_process_dies_the_others_wait_no_longer_than_patience(
    make_shared: Callable[[], Cache],
) -> None:
    cache = make_shared()
    with process(_die, make_shared) as child:
        assert child.receive() == "computing"
        child.kill()
    recorder = Remembers()
    values = open_values(cache, patience=0.5, recorder=recorder)
    assert values.get_or_compute("key", lambda: "ours") == "ours"
    assert values.get("key") == "ours"
    cache.close()


def _die(channel: Connection, make: Callable[[], Cache]) -> None:
    def compute() -> None:
        channel.send("computing")
        channel.recv()

    open_values(make(), patience=0.5).get_or_compute("key", compute)


def test_a_waiter_whose_patience_ends_computes_itself(make_shared: Callable[[], Cache]) -> None:
    cache = make_shared()
    values = open_values(cache, patience=0.2)
    cache.add(f"{values._entries.generation.prefix()}!{digest('key')}", b"", 3600)
    assert values.get_or_compute("key", lambda: "ours") == "ours"
    assert values.get("key") == "ours"
    cache.close()
