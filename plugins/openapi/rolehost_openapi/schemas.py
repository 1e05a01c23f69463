"""JSON Schemas of the types that operations name, as components of the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

_REF = "#/components/schemas/"


class Schemas:
    """The schemas of all types of a document, named once and for all.

    Types are first collected and then translated together, because only all of them tell
    which names are ambiguous and need their module in front.
    """

    def __init__(self, types: Mapping[Any, str]) -> None:
        """Translate.

        Args:
            types: type → where it is used, for the error message.

        Raises:
            TypeError: a type has no JSON Schema; names the operation.
        """
        kinds = list(types)
        try:
            schemas, self.components = msgspec.json.schema_components(
                kinds, schema_hook=_unknown, ref_template=_REF + "{name}"
            )
        except TypeError:
            for kind, site in types.items():
                _try_alone(kind, site)
            raise
        self._by_type: dict[Any, Schema] = dict(zip(kinds, schemas, strict=True))

    def of(self, kind: Any) -> Schema:
        """Return the schema of one of the types: most often a reference to a component."""
        return self._by_type[kind]

    def fields(self, kind: Any) -> tuple[Mapping[str, Schema], frozenset[str]]:
        """Return the schemas of a structured type's fields, and the names of required ones."""
        schema = self.of(kind)
        while "$ref" in schema:
            schema = self.components[schema["$ref"].removeprefix(_REF)]
        return schema.get("properties", {}), frozenset(schema.get("required", ()))

    def used(self, document: Any) -> dict[str, Schema]:
        """Return the components that a part of the document needs, sorted by name.

        A type of query parameters is taken apart and needs no component itself.
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
            elif key == "mapping" and isinstance(value, dict):  # of a discriminator
                yield from (text.removeprefix(_REF) for text in value.values())
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _unknown(_kind: type[Any]) -> Schema:
    """A class that a plugin encodes by itself may be any JSON."""
    return {"description": "Any JSON."}  # msgspec takes an empty schema for none


def _try_alone(kind: Any, site: str) -> None:
    try:
        msgspec.json.schema(kind, schema_hook=_unknown)
    except TypeError as error:
        raise TypeError(f"{site}: no JSON Schema can be made of {kind!r}: {error}") from None
