"""JSON Schemas of the types of operations, as components of the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

_REF = "#/components/schemas/"


class Schemas:
    """The schemas of all types of a document, with unique names.

    Types are collected first and then converted together, because ambiguous names, which need
    their module as a prefix, are known only when all types are known.
    """

    def __init__(self, types: Mapping[Any, str]) -> None:
        """Convert all types.

        Args:
            types: type → the operation that uses it, for the error message.

        Raises:
            TypeError: a type cannot be converted to JSON Schema; the message has the operation.
        """
        kinds = list(types)
        try:
            schemas, self.components = msgspec.json.schema_components(
                kinds, schema_hook=_unknown, ref_template=_REF + "{name}"
            )
        except TypeError:
            for kind, location in types.items():
                _check_schema(kind, location)
            raise
        self._by_type: dict[Any, Schema] = dict(zip(kinds, schemas, strict=True))

    def of(self, kind: Any) -> Schema:
        """Return the schema of one of the types, usually a reference to a component."""
        return self._by_type[kind]

    def fields(self, kind: Any) -> tuple[Mapping[str, Schema], frozenset[str]]:
        """Return the schemas of the fields of a structured type, and the required names."""
        schema = self.of(kind)
        while "$ref" in schema:
            schema = self.components[schema["$ref"].removeprefix(_REF)]
        return schema.get("properties", {}), frozenset(schema.get("required", ()))

    def used(self, document: Any) -> dict[str, Schema]:
        """Return the components that a part of the document references, sorted by name.

        A type of query parameters is split into parameters and needs no component itself.
        """
        names: set[str] = set()
        pending = list(_references(document))
        while pending:
            name = pending.pop()
            if name not in names and name in self.components:
                names.add(name)
                pending.extend(_references(self.components[name]))
        return {name: self.components[name] for name in sorted(names)}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str) and value.startswith(_REF):
                yield value.removeprefix(_REF)
            elif key == "mapping" and isinstance(value, dict):  # the mapping of a discriminator
                yield from (text.removeprefix(_REF) for text in value.values())
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _unknown(_kind: type[Any]) -> Schema:
    """Return the schema of a class with a custom encoder: any JSON."""
    return {"description": "Any JSON."}  # msgspec ignores an empty schema


def _check_schema(kind: Any, location: str) -> None:
    try:
        msgspec.json.schema(kind, schema_hook=_unknown)
    except TypeError as error:
        raise TypeError(
            f"{location}: {kind!r} cannot be converted to JSON Schema: {error}"
        ) from None
