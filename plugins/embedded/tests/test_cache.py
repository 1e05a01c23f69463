from __future__ import annotations

import pytest
from msgspec.structs import replace
from rolehost_embedded.cache import EmbeddedCache
from rolehost_embedded.settings import EmbeddedSettings


def test_the_least_recently_used_entry_leaves_first(settings: EmbeddedSettings) -> None:
    cache = EmbeddedCache(replace(settings, cache_entries=3))
    cache.set_many({"a": b"1", "b": b"2", "c": b"3"})
    cache.get("a")
    cache.set("d", b"4")
    assert cache.get_many("abcd") == {"a": b"1", "c": b"3", "d": b"4"}


def test_bytes_are_bounded_too(settings: EmbeddedSettings) -> None:
    cache = EmbeddedCache(replace(settings, cache_bytes=10_000))
    for number in range(100):
        cache.set(f"key-{number}", bytes(1000))
    kept = cache.get_many(f"key-{number}" for number in range(100))
    assert 1 <= len(kept) <= 9
    assert "key-99" in kept


def test_a_value_larger_than_the_cache_replaces_the_old_one_with_nothing(
    settings: EmbeddedSettings,
) -> None:
    cache = EmbeddedCache(replace(settings, cache_bytes=1000))
    cache.set("key", b"old")
    cache.set("other", b"kept")
    cache.set("key", bytes(1001))
    assert cache.get_many(["key", "other"]) == {"other": b"kept"}


@pytest.mark.parametrize("times", [1, 1000])
def test_replacing_and_deleting_give_the_room_back(settings: EmbeddedSettings, times: int) -> None:
    cache = EmbeddedCache(replace(settings, cache_bytes=2000))
    for _ in range(times):
        cache.set("key", bytes(1000))
    cache.delete("key")
    cache.set_many({"a": bytes(500), "b": bytes(500)})
    assert len(cache.get_many(["a", "b"])) == 2
