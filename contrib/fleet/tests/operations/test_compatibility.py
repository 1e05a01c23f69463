"""Whether what one type writes another type reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from rolehost.composition.schemas import refusal, schema_of
from rolehost_fleet.compatibility import conflicts, renamed


def structure(**fields: Any) -> Any:
    """A schema of arguments; a tuple is a type and its default."""
    made = [
        (name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind in fields.items()
    ]
    return schema_of(msgspec.defstruct("A", made, kw_only=True, forbid_unknown_fields=True))


class Tree(msgspec.Struct):
    value: int
    below: Tree | None = None


class LooseTree(msgspec.Struct):
    value: int | None
    below: LooseTree | None = None


READ = [
    (int, int),
    (int | str, int),
    (float, int),
    (str, Literal["x"]),
    (Any, int),
    (dict, dict[str, int]),
    (Annotated[int, msgspec.Meta(ge=1)], Annotated[int, msgspec.Meta(ge=2)]),
    (str, UUID),
    (list[int | None], list[int]),
    (tuple[int, ...], tuple[int, int]),
    (Tree, Tree),
    (LooseTree, Tree),
    (datetime, datetime),
]

NOT_READ = [
    (int, int | None, "a must be integer, but may be null"),
    (int, float, "a must be integer, but may be number"),
    (int, Any, "a must be integer, but may be anything"),
    (Literal["x", "y"], Literal["x", "z"], "a must be 'x' or 'y', but may be 'z'"),
    (Literal["x"], str, "a must be 'x', but may be string"),
    (Annotated[int, msgspec.Meta(ge=2)], Annotated[int, msgspec.Meta(ge=1)], "a has minimum 2"),
    (Annotated[str, msgspec.Meta(max_length=3)], str, "a has maxLength 3, and is not bounded"),
    (UUID, str, "a must be of format uuid"),
    (list[int], list[str], "a[…] must be integer, but may be string"),
    (dict[str, int], dict[str, str], "a[…] must be integer, but may be string"),
    (tuple[int, int], tuple[int, ...], "a has minItems 2"),
    (Tree, LooseTree, "a.value must be integer, but may be null"),
]


@pytest.mark.parametrize(("reader", "writer"), READ, ids=str)
def test_what_fits_is_read(reader, writer):
    assert conflicts(structure(a=reader), structure(a=writer)) == []


@pytest.mark.parametrize(("reader", "writer", "why"), NOT_READ, ids=str)
def test_what_does_not_fit_is_told_with_its_place(reader, writer, why):
    assert any(why in each for each in conflicts(structure(a=reader), structure(a=writer)))


def test_a_new_argument_may_be_missing_only_with_a_default():
    assert conflicts(structure(a=int, b=(str, "x")), structure(a=int)) == []
    assert conflicts(structure(a=int, b=str), structure(a=int)) == [
        "b is not given and is required"
    ]
    made_optional = structure(a=int, b=(str, "x"))
    assert conflicts(structure(a=int, b=str), made_optional) == ["b may be missing and is required"]


def test_an_argument_that_is_not_known_is_refused():
    assert conflicts(structure(a=int), structure(a=int, b=str)) == ["b is not known"]


def test_a_renamed_argument_is_recognised_by_its_type():
    assert renamed(structure(a=int, b=str), structure(a=int, c=str)) == ("b", "c")
    assert renamed(structure(a=int, b=str), structure(a=int, c=int)) is None
    assert renamed(structure(a=int), structure(a=int, c=int)) is None


def test_a_value_is_refused_without_being_shown():
    schema = structure(a=int, b=str | None)
    assert refusal(schema, {"a": 1, "b": None}) == ""
    assert refusal(schema, {"a": 1}) == "b is missing"
    assert refusal(schema, {"a": "secret", "b": None}) == "a must be integer, not string"
    assert refusal(structure(a=list[int]), {"a": [1, "x"]}) == "a[1] must be integer, not string"
    bounded = structure(a=Annotated[int, msgspec.Meta(lt=9)])
    assert refusal(bounded, {"a": 8}) == ""
    assert refusal(bounded, {"a": 9}) == "a violates exclusiveMaximum 9"
    one = structure(a=Annotated[dict[str, int], msgspec.Meta(max_length=1)])
    assert refusal(one, {"a": {"x": 1}}) == ""
    assert refusal(one, {"a": {"x": 1, "y": 2}}) == "a is 2 long, outside of its bounds"
