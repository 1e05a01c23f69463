"""Arguments are checked by the actor's types when a job is enqueued."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import math
import uuid
from typing import Annotated, Any

import msgspec
import pytest
from rolehost.api import PayloadError, actor
from rolehost.delivery.arguments import MAX_BYTES, MAX_DEPTH, Signature, check


class Colour(enum.StrEnum):
    RED = "red"


class Order(msgspec.Struct):
    number: int
    price: float | None = None


@dataclasses.dataclass
class Address:
    street: str
    size: object = None


class Handle:
    pass


@actor(name="shop.fit")
def fit(
    job,
    n: int = 0,
    share: float = 0.0,
    text: str = "",
    moment: datetime.datetime | None = None,
    order: uuid.UUID | None = None,
    colour: Colour = Colour.RED,
    many: list[Order] = [],  # noqa: B006
    where: Address | None = None,
    few: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1,
    amount: decimal.Decimal | None = None,
    anything: object = None,
    untyped=None,
):
    pass


SIGNATURE = Signature(fit)


def nested(depth):
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def itself():
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("n", "1", "Expected `int`, got `str`"),
        ("n", True, "Expected `int`, got `bool`"),
        ("n", 1.0, "Expected `int`, got `float`"),
        ("n", None, "Expected `int`, got `null`"),
        ("share", "0.5", "Expected `float`"),
        ("share", math.nan, "JSON cannot hold nan"),
        ("text", b"bytes", "Expected `str`, got `bytes`"),
        ("text", uuid.UUID(int=1), "Expected `str`, got `uuid`"),
        ("text", "a\0b", "NUL"),
        ("text", "\ud800", "surrogates"),
        ("text", "x" * MAX_BYTES, "bytes as JSON"),
        ("moment", "yesterday", "RFC3339"),
        ("moment", 7, "Expected"),
        ("order", "no uuid", "UUID"),
        ("colour", "green", "green"),
        ("many", [Order("x")], "Expected `int`"),
        ("many", [{"number": 1, "price": math.inf}], "inf"),
        ("many", [Order(1, math.nan)], "nan"),
        ("where", Address("s", [math.nan]), "nan"),
        ("where", Address("s", {"a\0": 1}), "NUL"),
        ("few", 10, "<= 9"),
        ("amount", "a lot", "decimal"),
        ("anything", [1.5, math.nan], "JSON cannot hold nan"),
        ("anything", {"a": {"b": (-math.inf,)}}, "JSON cannot hold -inf"),
        ("anything", {1.5: {None}, "x": math.nan}, "nan"),
        ("anything", {"a": {math.nan: 1}}, "JSON cannot hold nan"),
        ("anything", {"a\0": 1}, "a\\0"),
        ("anything", nested(MAX_DEPTH + 1), "levels deep"),
        ("anything", nested(100_000), "levels deep"),
        ("anything", itself(), "contains itself"),
        ("anything", Handle(), "unsupported"),
        ("anything", {(1, 2): 3}, "keys"),
        ("anything", msgspec.Raw(b"{no json"), ""),
        ("untyped", 1 + 2j, "unsupported"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_with_actor_and_argument(name, value, why):
    with pytest.raises(PayloadError) as caught:
        SIGNATURE.encode({name: value})
    message = str(caught.value)
    assert "shop.fit" in message
    assert why in message
    if "bytes as JSON" not in why and "levels" not in why and not isinstance(value, msgspec.Raw):
        assert f"argument {name}" in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2**70),
        ("share", 1),
        ("text", "\\u0000 null"),
        ("moment", datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)),
        ("moment", None),
        ("order", uuid.UUID(int=7)),
        ("colour", Colour.RED),
        ("many", [Order(1), Order(2, 0.5)]),
        ("where", Address("s", None)),
        ("amount", decimal.Decimal("1.10")),
        ("anything", {"a": [None, True, 2**63]}),
        ("untyped", "[" * 1000),
        ("anything", nested(MAX_DEPTH - 1)),
    ],
)
def test_accepted_arguments_are_decoded_unchanged(name, value):
    assert SIGNATURE.decode(SIGNATURE.encode({name: value}))[name] == value


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("moment", "2030-01-02T00:00:00Z", datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)),
        ("order", str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        ("colour", "red", Colour.RED),
        ("many", ({"number": 1},), [Order(1)]),
        ("where", {"street": "s"}, Address("s")),
    ],
)
def test_a_value_may_be_given_as_json_writes_it(name, given, read):
    assert SIGNATURE.decode(SIGNATURE.encode({name: given}))[name] == read


def test_unknown_and_missing_names_are_refused():
    @actor()
    def strict(job, a: int, *, b: int, c: int = 0):
        pass

    strict.fn.__annotations__.update(a=int, b=int, c=int)
    for given in ({"a": 1}, {"a": 1, "b": 2, "d": 3}, {}, {"a": 1, "b": 2, 7: 3}):
        with pytest.raises(PayloadError, match="actor strict takes"):
            Signature(strict).encode(given)


@pytest.mark.parametrize("given", [["n"], "n", None, 7])
def test_arguments_that_are_no_mapping_are_refused(given):
    with pytest.raises(PayloadError, match=r"shop\.fit must be a mapping"):
        SIGNATURE.encode(given)


def test_a_bulk_with_one_wrong_job_enqueues_nothing_and_names_the_job(bench):
    bench.make_runtime(fit)
    with bench.unit_of_work() as work:
        with pytest.raises(PayloadError, match=r"job 2 of enqueue_many.*argument n of actor"):
            work.enqueue_many(fit, [{"n": 0}, {"n": 1}, {"n": "2"}])
    assert bench.count("rolehost_jobs") == 0


def typed(annotation, default=None):
    def fn(job, item=default):
        pass

    fn.__annotations__["item"] = annotation
    return actor(name="shop.typed")(fn)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: typed("Missing"), "cannot be resolved: NameError"),
        (lambda: typed("list[Missing]"), "cannot be resolved: NameError"),
        (lambda: typed("1 / 0"), "cannot be resolved: ZeroDivisionError"),
        (lambda: typed("not ("), "cannot be resolved: SyntaxError"),
        (lambda: typed(Handle), "no JSON value has the type"),
        (lambda: typed(dict[str, list[Handle]]), "no JSON value has the type"),
        (lambda: typed(Order | Address), "no JSON value has its type"),
        (lambda: typed(int), "default does not fit"),
        (lambda: typed(str, b"bytes"), "default does not fit"),
        (lambda: typed(int | None, object()), "default does not fit"),
    ],
)
def test_an_actor_whose_arguments_cannot_be_typed_is_refused(made, why):
    with pytest.raises(TypeError, match=why):
        check(made())


def test_an_annotation_for_type_checkers_may_stand_where_nothing_is_decoded():
    def fn(job, n):
        pass

    fn.__annotations__.update({"job": "OnlyForTypeCheckers", "n": int, "return": "Missing"})
    each = actor(name="shop.context")(fn)
    check(each)
    with pytest.raises(PayloadError):
        Signature(each).encode({"n": "1"})


def test_annotations_are_found_behind_decorators_partials_and_objects():
    def inner(job, extra, n: Order):
        pass

    class Callable:
        def __call__(self, job, n: Order):
            pass

    @functools.wraps(inner)
    def wrapped(*args, **kwargs):
        pass

    for fn in (functools.partial(inner, extra=1), Callable(), wrapped):
        check(actor(name="shop.found")(fn))
