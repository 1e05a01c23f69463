"""Typed values over every kind of cache."""

from __future__ import annotations

from typing import Any

import pytest
from rolehost.api import Cache, CapabilityMissing

from tests.caching.kit import Price, Remembers, open_values


def test_a_value_comes_back_as_its_type(cache: Cache) -> None:
    prices = open_values(cache, Price)
    prices.set("apple", Price("1.20"))
    assert prices.get("apple") == Price("1.20")
    assert prices.get("pear") is None
    assert prices.get("pear", "nothing") == "nothing"
    assert prices.delete("apple")
    assert not prices.delete("apple")
    assert prices.get("apple") is None


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
@pytest.mark.parametrize(
    "value", [None, True, 7, -3, 2**70, 1.5, "ключ 🐍", b"\x00\xff", [1, [2]], {"a": None}, ""]
)
def test_any_value_that_the_format_knows_is_kept(cache: Cache, serializer: str, value: Any) -> None:
    values = open_values(cache, type(value) if value is not None else Any, serializer=serializer)
    values.set("key", value)
    assert values.get("key", "absent") == value


def test_raw_bytes_are_kept_as_they_are(cache: Cache) -> None:
    values = open_values(cache, bytes, serializer="raw")
    for value in (b"", b"5", bytes(range(256))):
        values.set("key", value)
        assert values.get("key") == value
    with pytest.raises(TypeError, match="raw"):
        values.set("key", "text")
    with pytest.raises(TypeError, match="bytes"):
        open_values(cache, str, serializer="raw")


@pytest.mark.parametrize("key", ["a", "k" * 5000, "two\nlines", "nul\x00", "ключ:🐍", "=x", "#x"])
def test_any_text_is_a_key(cache: Cache, key: str) -> None:
    values = open_values(cache)
    values.set(key, 1)
    assert values.get(key) == 1
    assert values.get_many([key, "other"]) == {key: 1}
    assert values.get_or_compute(key, lambda: 2) == 1
    assert values.delete(key)


def test_an_empty_key_is_refused(cache: Cache) -> None:
    with pytest.raises(ValueError, match="empty"):
        open_values(cache).get("")


def test_many_values_at_once_are_counted_one_by_one(cache: Cache) -> None:
    recorder = Remembers()
    values = open_values(cache, recorder=recorder)
    values.set_many({"a": 1, "b": [2]})
    assert values.get_many(["a", "b", "c", "a"]) == {"a": 1, "b": [2]}
    assert values.get_many([]) == {}
    assert recorder.counts == {"hit": 2, "miss": 1}


def test_add_stores_only_absent_keys(cache: Cache) -> None:
    values = open_values(cache)
    assert values.add("key", 1)
    assert not values.add("key", 2)
    assert values.get("key") == 1


def test_a_counter_goes_on_from_what_was_set_and_is_read_as_a_number(cache: Cache) -> None:
    counters = open_values(cache, int)
    assert counters.incr("n") == 1
    assert counters.incr("n", 10) == 11
    assert counters.get("n") == 11
    counters.set("n", 40)
    assert counters.incr("n", 2) == 42
    words = open_values(cache, str)
    words.set("word", "one")
    with pytest.raises(ValueError):
        words.incr("word")


def test_touch_returns_whether_the_key_exists(cache: Cache) -> None:
    values = open_values(cache)
    assert not values.touch("key")
    values.set("key", 1)
    assert values.touch("key", 100)
    assert values.touch("key", None)
    assert values.get("key") == 1


def test_a_value_of_another_type_or_format_is_a_counted_miss(cache: Cache) -> None:
    recorder = Remembers()
    as_text = open_values(cache, str, recorder=recorder)
    as_price = open_values(cache, Price, recorder=recorder)
    as_json = open_values(cache, Price, recorder=recorder, serializer="json")
    as_text.set("key", "text")
    assert as_price.get("key") is None
    assert as_json.get("key") is None
    assert as_json.get_many(["key"]) == {}
    assert recorder.counts == {"discarded": 3, "miss": 3}
    assert as_price.get_or_compute("key", lambda: Price("1")) == Price("1")
    assert as_price.get("key") == Price("1")


@pytest.mark.parametrize("data", [b"", b"\xffnew", b"\x03", b"\x13abc", b"\x03\xc1", b"-"])
def test_bytes_of_an_unknown_version_are_a_miss(cache: Cache, data: bytes) -> None:
    values = open_values(cache, Price)
    values.set("key", Price("1"))
    cache.set(values._entries.full_key("key"), data)
    assert values.get("key") is None


def test_invalidating_forgets_the_namespace_and_no_other(cache: Cache) -> None:
    one, other = open_values(cache), open_values(cache, namespace="other")
    one.set("key", 1)
    other.set("key", 2)
    one.invalidate()
    assert one.get("key") is None
    assert other.get("key") == 2
    one.set("key", 3)
    assert one.get("key") == 3


def test_values_are_dropped_by_tag_where_the_cache_can(cache: Cache) -> None:
    values, other = open_values(cache), open_values(cache, namespace="other")
    if "tags" not in cache.capabilities:
        with pytest.raises(CapabilityMissing, match="tags"):
            values.set("key", 1, tags=["tag"])
        with pytest.raises(CapabilityMissing, match="tags"):
            values.drop_tagged("tag")
        with pytest.raises(CapabilityMissing, match="tags"):
            values.get_or_compute("key", lambda: 1, tags=["tag"])
        return
    values.set("a", 1, tags=["user 1", "x" * 500, "line\nbreak"])
    values.get_or_compute("b", lambda: 2, tags=["user 1"])
    values.set("c", 3)
    other.set("d", 4, tags=["user 1"])
    assert values.drop_tagged("user 1", "user 2") == 2
    assert values.get_many("abc") == {"c": 3}
    assert other.get("d") == 4
    values.set("a", 1, tags=["x" * 500])
    assert values.drop_tagged("x" * 500) == 1


@pytest.mark.parametrize("namespace", ["", "a:b", "a b", "ä", "n" * 81, "a!"])
def test_an_invalid_namespace_is_refused(cache: Cache, namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        open_values(cache, namespace=namespace)


@pytest.mark.parametrize(
    "options", [{"ttl": 0}, {"ttl": -1}, {"stale": -1}, {"none_ttl": -1}, {"patience": 0}]
)
def test_options_that_mean_nothing_are_refused(cache: Cache, options: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        open_values(cache, **options)


def test_a_value_that_cannot_be_written_is_the_callers_error(cache: Cache) -> None:
    with pytest.raises(TypeError):
        open_values(cache).set("key", object())
