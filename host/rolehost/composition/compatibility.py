"""Whether what was written with one type can be read with another: JSON Schemas, compared.

Knows the part of JSON Schema (draft 2020-12) that msgspec writes. What it cannot compare it
calls a misfit: a rollout that waits for a look is cheaper than a job that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rolehost.composition.manifest import CUSTOM, Schema

#: Bounds: word → whether the reader's must be at most (-1) or at least (+1) the writer's.
_BOUNDS = {
    "minimum": -1,
    "exclusiveMinimum": -1,
    "minLength": -1,
    "minItems": -1,
    "minProperties": -1,
    "maximum": 1,
    "exclusiveMaximum": 1,
    "maxLength": 1,
    "maxItems": 1,
    "maxProperties": 1,
}
#: Words that must be the same in both where the reader has them.
_SAME = ("pattern", "format", "contentEncoding", "multipleOf", CUSTOM)

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def misfits(reader: Schema, writer: Schema) -> list[str]:
    """Say what a writer may write that a reader refuses; empty: everything can be read.

    Args:
        reader: schema of the type that decodes.
        writer: schema of the type that was, or will be, encoded.
    """
    return list(dict.fromkeys(_Comparison(reader, writer).differ(reader, writer, "")))


def renamed(old: Schema, new: Schema) -> tuple[str, str] | None:
    """Return the old and the new name where one field of the same type took another name."""
    before, after = fields(old), fields(new)
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    if len(gone) == len(come) == 1:
        (was,), (now,) = gone, come
        if _typed(before[was]) == _typed(after[now]):
            return was, now
    return None


def refusal(schema: Schema, value: Any) -> str:
    """Say why a value, as JSON gives it, does not fit a schema; empty when it does."""
    return next(_Comparison(schema, {}).refuse(schema, value, ""), "")


def fields(schema: Schema) -> dict[str, Schema]:
    """Return the schemas of a structure's fields, by name."""
    found: dict[str, Schema] = _Comparison(schema, {}).resolved(schema, 0).get("properties", {})
    return found


def _typed(schema: Schema) -> Schema:
    return {word: value for word, value in schema.items() if word != "default"}


class _Comparison:
    """A reader's schema against a writer's, each with its own definitions."""

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._defs = (reader.get("$defs", {}), writer.get("$defs", {}))
        self._open: set[tuple[int, int]] = set()  # being compared: types may hold themselves

    def resolved(self, schema: Schema, side: int) -> Schema:
        """Return a schema without a reference at its top."""
        while "$ref" in schema:
            schema = self._defs[side][schema["$ref"].rpartition("/")[2]]
        return schema

    def differ(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        """Yield what the writer may write and the reader refuses."""
        readings = list(self._alternatives(reader, 0))
        for written in self._alternatives(writer, 1):
            found = [list(self._one(reading, written, at)) for reading in readings]
            if not any(not each for each in found):
                # The reading of the same kind tells best what is wrong.
                same = [
                    each
                    for reading, each in zip(readings, found, strict=True)
                    if reading.get("type") == written.get("type")
                ]
                yield from same[0] if len(same) == 1 else [_other(at, readings, written)]

    def _alternatives(self, schema: Schema, side: int) -> Iterator[Schema]:
        schema = self.resolved(schema, side)
        if "anyOf" in schema:
            for each in schema["anyOf"]:
                yield from self._alternatives(each, side)
        elif "enum" in schema:
            yield from ({"const": value} for value in schema["enum"])
        else:
            yield schema

    def _one(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        """Compare two schemas that are no union and no reference."""
        if not reader.keys() - {"default"}:
            return
        if "const" in writer:
            yield from self.refuse(reader, writer["const"], at)
            return
        types = (reader.get("type"), writer.get("type"))
        if "const" in reader or not (types[0] == types[1] or types == ("number", "integer")):
            yield _other(at, [reader], writer)
            return
        yield from _bounded(reader, writer, at)
        if types[0] == "object":
            pair = (id(reader), id(writer))
            if pair not in self._open:
                self._open.add(pair)
                yield from self._objects(reader, writer, at)
                self._open.discard(pair)
        elif types[0] == "array":
            yield from self._arrays(reader, writer, at)

    def _objects(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        known, written = reader.get("properties", {}), writer.get("properties", {})
        more = reader.get("additionalProperties", {})
        for name in reader.get("required", ()):
            if name not in writer.get("required", ()):
                says = "may be missing" if name in written else "is not given"
                yield f"{_path(at, name)} {says} and is required"
        for name, schema in written.items():
            if name in known:
                yield from self.differ(known[name], schema, _path(at, name))
            elif more is False:
                yield f"{_path(at, name)} is not known"
        # A structure writes its own fields alone; a dict writes any.
        rest = writer.get("additionalProperties", {} if not written else False)
        if rest is not False and more is False:
            yield f"{at or 'it'} takes no other fields than its own"
        elif isinstance(rest, dict) and isinstance(more, dict) and more:
            yield from self.differ(more, rest, f"{at}[…]")

    def _arrays(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        firsts, others = reader.get("prefixItems", []), writer.get("prefixItems", [])
        for number in range(max(len(firsts), len(others))):
            read = firsts[number] if number < len(firsts) else reader.get("items", {})
            wrote = others[number] if number < len(others) else writer.get("items", {})
            if isinstance(read, dict) and isinstance(wrote, dict):
                yield from self.differ(read, wrote, f"{at}[{number}]")
        read, wrote = reader.get("items", {}), writer.get("items", {})
        if isinstance(read, dict) and isinstance(wrote, dict):
            yield from self.differ(read, wrote, f"{at}[…]")

    def refuse(self, schema: Schema, value: Any, at: str) -> Iterator[str]:
        """Yield why a value does not fit."""
        reasons = []
        for each in self._alternatives(schema, 0):
            found = list(self._refuse_one(each, value, at))
            if not found:
                return
            reasons.append((each, found))
        same = [found for each, found in reasons if _is(each.get("type"), value)]
        yield from (
            same[0]
            if len(same) == 1
            else [
                f"{at or 'it'} takes {_names([each for each, _ in reasons])}, not {_shown(value)}"
            ]
        )

    def _refuse_one(self, schema: Schema, value: Any, at: str) -> Iterator[str]:
        if "const" in schema:
            if schema["const"] != value:
                yield f"{at or 'it'} is {schema['const']!r} alone, not {_shown(value)}"
            return
        kind = schema.get("type")
        if kind is None:
            if CUSTOM in schema:
                yield f"{at or 'it'} is a {schema[CUSTOM]}, which cannot be looked into here"
            return
        if not _is(kind, value):
            yield f"{at or 'it'} takes {_names([schema])}, not {_shown(value)}"
        elif kind == "object":
            yield from self._refuse_object(schema, value, at)
        elif kind == "array":
            for number, item in enumerate(value):
                firsts = schema.get("prefixItems", [])
                each = firsts[number] if number < len(firsts) else schema.get("items", {})
                if isinstance(each, dict):
                    yield from self.refuse(each, item, f"{at}[{number}]")
            yield from _beyond(schema, "Items", len(value), at)
        elif kind == "string":
            yield from _beyond(schema, "Length", len(value), at)
            if "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{at or 'it'} does not match {schema['pattern']}"
        elif kind in ("integer", "number"):
            yield from _outside(schema, value, at)

    def _refuse_object(self, schema: Schema, value: dict[str, Any], at: str) -> Iterator[str]:
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{_path(at, name)} is missing"
        for name, item in value.items():
            if name in known:
                yield from self.refuse(known[name], item, _path(at, name))
            elif more is False:
                yield f"{_path(at, name)} is not known"
            elif isinstance(more, dict):
                yield from self.refuse(more, item, _path(at, name))


def _bounded(reader: Schema, writer: Schema, at: str) -> Iterator[str]:
    for word in _SAME:
        if word in reader and reader[word] != writer.get(word):
            yield f"{at or 'it'} must be of {word} {reader[word]}, and may be any other"
    for word, sense in _BOUNDS.items():
        if word not in reader:
            continue
        if word not in writer or (writer[word] - reader[word]) * sense > 0:
            given = f"may be {writer[word]}" if word in writer else "is not bounded"
            yield f"{at or 'it'} has {word} {reader[word]}, and {given}"


def _beyond(schema: Schema, what: str, size: int, at: str) -> Iterator[str]:
    if not schema.get(f"min{what}", 0) <= size <= schema.get(f"max{what}", size):
        yield f"{at or 'it'} is {size} long, outside of its bounds"


def _outside(schema: Schema, value: float, at: str) -> Iterator[str]:
    if (
        value < schema.get("minimum", value)
        or value > schema.get("maximum", value)
        or value <= schema.get("exclusiveMinimum", value - 1)
        or value >= schema.get("exclusiveMaximum", value + 1)
    ):
        yield f"{at or 'it'} is {value}, outside of its bounds"


def _is(kind: object, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ())) if isinstance(kind, str) else False


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _other(at: str, readings: list[Schema], written: Schema) -> str:
    return f"{at or 'it'} takes {_names(readings)}, and may be {_names([written])}"


def _names(schemas: list[Schema]) -> str:
    return " or ".join(dict.fromkeys(_name(schema) for schema in schemas))


def _name(schema: Schema) -> str:
    if "const" in schema:
        return repr(schema["const"])
    if CUSTOM in schema:
        return str(schema[CUSTOM])
    kind = schema.get("type")
    return "anything" if kind is None else f"{schema.get('format', '')} {kind}".strip()


def _shown(value: Any) -> str:
    """Return what kind of value it is; never the value, which may be anybody's data."""
    return next((name for name in _TYPES if _is(name, value)), type(value).__name__)
