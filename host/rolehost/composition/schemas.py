"""JSON Schemas of types, and validation of values.

Checks the keywords of JSON Schema (https://json-schema.org/draft/2020-12) that msgspec writes,
except these: ``format``, ``contentEncoding``, ``multipleOf``, ``propertyNames``, ``uniqueItems``.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

#: A JSON Schema without titles, descriptions and examples.
Schema = dict[str, Any]

#: The keyword for the qualified name of a type that JSON Schema cannot describe.
CUSTOM = "x-type"

#: Keyword → whether a number (first argument) violates the keyword's value.
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.lt,
    "maximum": operator.gt,
    "exclusiveMinimum": operator.le,
    "exclusiveMaximum": operator.ge,
}

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def schema_of(kind: Any) -> Schema:
    """Return the JSON Schema of a type."""
    try:
        made: Schema = _without_prose(msgspec.json.schema(kind, schema_hook=_custom))
    except (TypeError, msgspec.MsgspecError):
        # Several types have one name, or JSON cannot represent a type.
        return {CUSTOM: inspect.formatannotation(kind)}
    return made


def _custom(kind: Any) -> Schema:
    return {CUSTOM: f"{kind.__module__}.{kind.__qualname__}"}


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_prose(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    for word, value in schema.items():
        if word in ("properties", "$defs"):  # their keys are names of fields and types
            kept[word] = {name: _without_prose(each) for name, each in value.items()}
        elif word in ("default", "const", "enum"):
            kept[word] = value
        elif word not in ("title", "description", "examples"):
            kept[word] = _without_prose(value)
    return kept


def refusal(schema: Schema, value: Any, definitions: Schema | None = None, at: str = "") -> str:
    """Return why a decoded JSON value is not valid for a schema; empty if it is valid.

    References are looked up in ``definitions``, by default the schema's own ``$defs``. ``at`` is
    the path of the value in a larger value.
    """
    defs = schema.get("$defs", {}) if definitions is None else definitions
    reasons: list[tuple[Schema, str]] = []
    for each in alternatives(schema, defs):
        why = next(_refuse(each, value, defs, at), "")
        if not why:
            return ""
        reasons.append((each, why))
    # The alternative with the type of the value gives the best reason.
    same = [why for each, why in reasons if is_of(each.get("type"), value)]
    if len(same) == 1:
        return same[0]
    return f"{at or 'it'} must be {named([each for each, _ in reasons])}, not {_type_name(value)}"


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Return a schema with its top-level ``$ref`` resolved."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def alternatives(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """Yield the schemas of a union, one schema for each value of an enum, or the schema itself."""
    schema = resolved(schema, definitions)
    if "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from alternatives(each, definitions)
    elif "enum" in schema:
        yield from ({"const": value} for value in schema["enum"])
    else:
        yield schema


def _refuse(schema: Schema, value: Any, defs: Schema, at: str) -> Iterator[str]:
    """Yield reasons why a value is not valid for a schema that is neither a union nor a reference.

    The caller needs only the first reason.
    """
    it = at or "it"
    kind = schema.get("type")
    if "const" in schema:
        if schema["const"] != value:
            yield f"{it} must be {schema['const']!r}, not {_type_name(value)}"
    elif kind is None:
        if CUSTOM in schema:
            yield f"{it} is a {schema[CUSTOM]}, which cannot be checked here"
    elif not is_of(kind, value):
        yield f"{it} must be {named([schema])}, not {_type_name(value)}"
    elif kind == "object":
        yield from _refuse_object(schema, value, defs, at)
    elif kind == "array":
        firsts = schema.get("prefixItems", [])
        for number, item in enumerate(value):
            each = firsts[number] if number < len(firsts) else schema.get("items", {})
            if isinstance(each, dict):
                yield from filter(None, [refusal(each, item, defs, f"{at}[{number}]")])
        yield from _wrong_size(schema, "Items", len(value), it)
    elif kind == "string":
        yield from _wrong_size(schema, "Length", len(value), it)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{it} does not match {schema['pattern']}"
    elif kind in ("integer", "number"):
        for keyword, violates in _BOUNDS.items():
            if keyword in schema and violates(value, schema[keyword]):
                yield f"{it} violates {keyword} {schema[keyword]}"


def _refuse_object(schema: Schema, value: dict[str, Any], defs: Schema, at: str) -> Iterator[str]:
    yield from _wrong_size(schema, "Properties", len(value), at or "it")
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path_of(at, name)} is missing"
    for name, item in value.items():
        each = known.get(name, more)
        if each is False:
            yield f"{path_of(at, name)} is not known"
        elif isinstance(each, dict):
            yield from filter(None, [refusal(each, item, defs, path_of(at, name))])


def _wrong_size(schema: Schema, keyword: str, size: int, it: str) -> Iterator[str]:
    if not schema.get(f"min{keyword}", 0) <= size <= schema.get(f"max{keyword}", size):
        yield f"{it} is {size} long, outside of its bounds"


def is_of(kind: object, value: object) -> bool:
    """Return whether a value has a JSON type."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(kind, str) and isinstance(value, _TYPES.get(kind, ()))


def path_of(at: str, name: str) -> str:
    """Return the path of a field."""
    return f"{at}.{name}" if at else name


def named(schemas: list[Schema]) -> str:
    """Return the types that schemas describe, in words."""
    return " or ".join(dict.fromkeys(map(_name, schemas)))


def _name(schema: Schema) -> str:
    if "const" in schema:
        return repr(schema["const"])
    if CUSTOM in schema:
        return str(schema[CUSTOM])
    kind = schema.get("type")
    return "anything" if kind is None else f"{schema.get('format', '')} {kind}".strip()


def _type_name(value: Any) -> str:
    """Return the type of a value; reasons never contain the value, which may be private."""
    return next((name for name in _TYPES if is_of(name, value)), type(value).__name__)
