"""Functions with cached results."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from rolehost.api import Caching, CachingOptions, cached

from tests.caching.kit import Price, embedded, open_values

if TYPE_CHECKING:
    from rolehost.api import Services


class Some:
    """As much of the services as a cached function needs."""

    def __init__(self) -> None:
        self.cache = embedded()
        self.types: dict[str, Any] = {}
        self.asked: list[Any] = []

    def caching_with(self, namespace: str, value_type: Any, options: CachingOptions) -> Any:
        self.types[namespace] = value_type
        return open_values(self.cache, value_type, namespace=namespace, ttl=options.ttl)


@pytest.fixture
def services() -> Any:
    return Some()


@cached(ttl=60, namespace="prices")
def price(services: Services, fruit: str, pieces: int = 1, *, currency: str = "EUR") -> Price:
    """Return the price of a fruit."""
    services.asked.append((fruit, pieces, currency))  # type: ignore[attr-defined]
    return Price(f"{pieces}.00", currency)


def test_positional_and_keyword_arguments_share_a_result(services: Any) -> None:
    expected = Price("1.00", "EUR")
    assert price(services, "apple") == expected
    assert price(services, "apple", 1) == expected
    assert price(services, fruit="apple", pieces=1, currency="EUR") == expected
    assert services.asked == [("apple", 1, "EUR")]
    assert price(services, "apple", currency="CHF") == Price("1.00", "CHF")
    assert len(services.asked) == 2


def test_results_have_the_annotated_type_of_the_function(services: Any) -> None:
    price(services, "apple")
    assert services.types == {"prices": Price}
    assert isinstance(price.values(services).get("('apple', 1, 'EUR')"), Price)


def test_one_result_or_all_results_can_be_removed(services: Any) -> None:
    price(services, "apple")
    price(services, "pear")
    assert price.forget(services, "apple")
    assert not price.forget(services, "apple")
    price(services, "apple")
    assert len(services.asked) == 3
    price.values(services).invalidate()
    price(services, "apple")
    assert len(services.asked) == 4


def test_a_cached_function_keeps_its_name_and_docstring() -> None:
    assert price.__name__ == "price"
    assert price.__doc__ == "Return the price of a fruit."
    assert callable(price.__wrapped__)


class Colour(enum.Enum):
    RED = "red"


@cached(ttl=60)
def anything(services: Services, *things: Any, **more: Any) -> Any:
    """Take any arguments."""


NUMBER = uuid.UUID(int=7)


def test_arguments_that_are_equal_but_of_another_type_differ() -> None:
    given: list[tuple[Any, ...]] = [
        (1,), (1.0,), (True,), ("1",), (None,), ("None",), (), (1, 1), ([1],), ((1,),), ({1},),
        ("red",), (Colour.RED,), (NUMBER,), (str(NUMBER),), (date(2026, 1, 1),), ("2026-01-01",),
        ({"a": 1},), (Price("1"),), (b"1",),
    ]  # fmt: skip
    keys = [anything.key(*each) for each in given]
    assert len(set(keys)) == len(given)
    assert anything.key({"a": 1, "b": 2}) == anything.key({"b": 2, "a": 1})
    assert anything.key(a=1, b=2) == anything.key(b=2, a=1)


def test_long_and_unhashable_arguments_are_keys_too(services: Any) -> None:
    @cached(ttl=60, namespace="sum")
    def total(services: Services, numbers: list[int], note: str) -> int:
        services.asked.append(1)  # type: ignore[attr-defined]
        return sum(numbers)

    for _ in range(2):
        assert total(services, [*range(1000)], "x" * 10_000) == 499_500
    assert len(services.asked) == 1


def test_an_argument_that_cannot_be_part_of_a_key_needs_a_key_function(services: Any) -> None:
    with pytest.raises(TypeError, match="key="):
        anything.key(object())

    @cached(ttl=60, namespace="named", key=lambda thing: str(thing["name"]))
    def named(services: Services, thing: dict[str, Any]) -> int:
        return len(thing)

    assert named(services, {"name": "a", "other": object()}) == 2
    assert named.values(services).get("a") == 2


def test_coroutine_and_generator_functions_are_refused() -> None:
    async def later(services: Services) -> int:
        return 1

    def several(services: Services) -> Iterator[int]:
        yield 1

    async def both(services: Services) -> Any:
        yield 1

    for function in (later, several, both):
        with pytest.raises(TypeError, match="thread"):
            cached(ttl=60)(function)


def test_a_function_without_services_is_refused() -> None:
    with pytest.raises(TypeError, match="services"):
        cached(ttl=60)(lambda: 1)


def test_a_function_without_annotation_keeps_anything(services: Any) -> None:
    @cached(ttl=60, namespace="anything")
    def untyped(services, word):  # type: ignore[no-untyped-def]
        return {"word": word}

    values: Caching[Any] = untyped.values(services)
    assert untyped(services, "a") == {"word": "a"}
    assert values.get("('a')") == {"word": "a"}
