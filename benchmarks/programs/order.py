"""The data of both sides of the cache benchmark: one value, under keys of a typical service."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

#: Number of keys, used in turn.
KEYS = [f"order:{number}" for number in range(1000)]

#: Time to live of a value in seconds.
TTL = 600


class Order(msgspec.Struct):
    """A value of about 200 bytes."""

    id: int = 123_456
    customer: str = "c-0192f7a4-6e1b-7cc2-9d8e-3f5a7b9c1d2e"
    state: str = "shipped"
    total: str = "1234.56"
    currency: str = "EUR"
    lines: tuple[str, ...] = ("2 × apple, fresh", "1 × pear, dried", "12 × plum, very ripe")


def rate(count: int, call: Callable[[str], object]) -> float:
    """Return calls per second in one thread; the first tenth does not count."""
    for number in range(count // 10):
        call(KEYS[number % len(KEYS)])
    began = time.perf_counter()
    for number in range(count):
        call(KEYS[number % len(KEYS)])
    return count / (time.perf_counter() - began)
