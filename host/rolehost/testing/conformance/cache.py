"""What every ``cache`` backend must do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from rolehost.errors import CapabilityMissing
from rolehost.storage import CAPABILITIES, Cache
from rolehost.testing.conformance.clients import BackendSuite, in_threads, need


class CacheConformance(BackendSuite[Cache]):
    """Subclass it, and override ``make_backend``; ``advance`` too when the clock is a fake."""

    @pytest.fixture
    def advance(self) -> Callable[[float], None]:
        """A function that lets so many seconds pass for the cache."""
        return time.sleep

    def test_declares_known_capabilities(self, backend: Cache) -> None:
        assert backend.capabilities <= set(CAPABILITIES["cache"])

    @pytest.mark.parametrize(
        "value", [b"", b"\x00", bytes(range(256)), "ä🐍".encode(), b"x" * 200_000], ids=len
    )
    def test_values_come_back_as_they_went_in(self, backend: Cache, value: bytes) -> None:
        backend.set("key", value)
        assert backend.get("key") == value

    @pytest.mark.parametrize("key", ["a", "k" * 200, "ключ:🐍", "with space", "a/b?c=d&e%20"])
    def test_any_printable_key_works(self, backend: Cache, key: str) -> None:
        backend.set(key, b"value")
        assert backend.get(key) == b"value"
        assert backend.get_many([key]) == {key: b"value"}
        assert backend.delete(key)

    @pytest.mark.parametrize("key", ["", "k" * 201, "line\nbreak", "nul\x00"])
    def test_other_keys_are_refused(self, backend: Cache, key: str) -> None:
        with pytest.raises(ValueError):
            backend.get(key)
        with pytest.raises(ValueError):
            backend.set(key, b"value")

    def test_an_absent_key_is_none(self, backend: Cache) -> None:
        assert backend.get("absent") is None

    def test_setting_replaces(self, backend: Cache) -> None:
        backend.set("key", b"one")
        backend.set("key", b"two")
        assert backend.get("key") == b"two"

    def test_deleting_says_whether_it_was_there(self, backend: Cache) -> None:
        backend.set("key", b"value")
        assert backend.delete("key")
        assert not backend.delete("key")
        assert backend.get("key") is None

    def test_many_at_once(self, backend: Cache) -> None:
        backend.set_many({"a": b"1", "b": b"2", "c": b""})
        assert backend.get_many(["a", "b", "c", "d"]) == {"a": b"1", "b": b"2", "c": b""}
        assert backend.get_many([]) == {}
        backend.set_many({})

    def test_clearing_drops_everything(self, backend: Cache) -> None:
        backend.set_many({"a": b"1", "b": b"2"})
        backend.clear()
        assert backend.get_many(["a", "b"]) == {}

    def test_adding_stores_only_what_is_absent(self, backend: Cache) -> None:
        if "atomic-add" not in backend.capabilities:
            with pytest.raises(CapabilityMissing):
                backend.add("key", b"one")
            return
        assert backend.add("key", b"one")
        assert not backend.add("key", b"two")
        assert backend.get("key") == b"one"

    def test_of_threads_that_add_one_key_one_stores(self, backend: Cache) -> None:
        need(backend, "atomic-add")
        stored: list[int] = []
        in_threads(
            8, lambda number: stored.append(number) if backend.add("key", b"%d" % number) else None
        )
        assert len(stored) == 1
        assert backend.get("key") == b"%d" % stored[0]

    def test_counters_start_at_nothing_and_go_both_ways(self, backend: Cache) -> None:
        if "atomic-incr" not in backend.capabilities:
            with pytest.raises(CapabilityMissing):
                backend.incr("n")
            return
        assert backend.incr("n") == 1
        assert backend.incr("n", 10) == 11
        assert backend.incr("n", -15) == -4
        assert backend.get("n") == b"-4"
        backend.set("n", b"41")
        assert backend.incr("n") == 42

    @pytest.mark.parametrize("value", [b"", b"text", b"1.5", b" 1", b"\xff"])
    def test_what_is_no_number_is_not_counted(self, backend: Cache, value: bytes) -> None:
        need(backend, "atomic-incr")
        backend.set("n", value)
        with pytest.raises(ValueError):
            backend.incr("n")
        assert backend.get("n") == value

    def test_threads_that_count_lose_nothing(self, backend: Cache) -> None:
        need(backend, "atomic-incr")
        in_threads(4, lambda _: [backend.incr("n") for _ in range(100)])
        assert backend.get("n") == b"400"

    def test_an_entry_expires(self, backend: Cache, advance: Callable[[float], None]) -> None:
        need(backend, "ttl")
        backend.set("short", b"1", ttl=1)
        backend.set("long", b"2", ttl=100)
        backend.set("ever", b"3")
        backend.set_many({"many": b"4"}, ttl=1)
        advance(1.5)
        assert backend.get("short") is None
        assert backend.get_many(["many", "long", "ever"]) == {"long": b"2", "ever": b"3"}
        assert not backend.delete("short")

    def test_setting_anew_forgets_the_time_to_live(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl")
        backend.set("key", b"1", ttl=1)
        backend.set("key", b"2")
        advance(1.5)
        assert backend.get("key") == b"2"

    def test_an_expired_key_can_be_added(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl", "atomic-add")
        assert backend.add("key", b"1", ttl=1)
        advance(1.5)
        assert backend.add("key", b"2")

    def test_only_the_first_count_sets_the_time_to_live(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl", "atomic-incr")
        backend.incr("n", ttl=2)
        advance(1.0)
        assert backend.incr("n", ttl=100) == 2
        advance(1.5)
        assert backend.get("n") is None
        assert backend.incr("n") == 1

    def test_touching_sets_the_time_to_live_anew(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        if "touch" not in backend.capabilities:
            with pytest.raises(CapabilityMissing):
                backend.touch("key", 1)
            return
        backend.set("longer", b"1", ttl=1)
        backend.set("shorter", b"2")
        backend.set("ever", b"3", ttl=1)
        assert backend.touch("longer", 100)
        assert backend.touch("shorter", 1)
        assert backend.touch("ever", None)
        assert not backend.touch("absent", 1)
        advance(1.5)
        assert backend.get_many(["longer", "shorter", "ever"]) == {"longer": b"1", "ever": b"3"}

    @pytest.mark.parametrize("ttl", [0, -1, -0.5, float("nan")])
    def test_a_time_to_live_must_be_positive(self, backend: Cache, ttl: float) -> None:
        with pytest.raises(ValueError):
            backend.set("key", b"value", ttl=ttl)
        with pytest.raises(ValueError):
            backend.set_many({"key": b"value"}, ttl=ttl)
        assert backend.get("key") is None

    def test_every_client_sees_a_shared_cache(self, open_client: Callable[[], Cache]) -> None:
        one, two = open_client(), open_client()
        need(one, "shared")
        one.set("key", b"value")
        assert two.get("key") == b"value"

    def test_it_answers_and_closes_twice(self, open_client: Callable[[], Cache]) -> None:
        cache = open_client()
        cache.ping()
        cache.close()
        cache.close()
