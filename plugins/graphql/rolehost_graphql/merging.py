"""Merges the parts of plugins into one schema, or reports all conflicts with both owners."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import strawberry
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    default_field_resolver,
    lexicographic_sort_schema,
    print_schema,
)
from rolehost.api import ConfigurationError, Extension, Problem
from strawberry.schema.config import StrawberryConfig
from strawberry.types import get_object_definition

from rolehost_graphql.context import Context
from rolehost_graphql.declarations import Schema

Part = Extension[Schema]

#: The root types, and the attribute of a part with their fields.
ROOTS = {"Query": "query", "Mutation": "mutation"}


class Merged:
    """The schema of a deployment.

    Attributes:
        core: graphql-core's schema; its root fields check the authentication and guard first.
    """

    def __init__(self, schema: strawberry.Schema, owners: dict[tuple[str, str], Part]) -> None:
        # strawberry has no public attribute for it; its own integrations also use this one.
        self.core: GraphQLSchema = schema._schema
        for root in (self.core.query_type, self.core.mutation_type):
            if root is not None:
                _guard_fields(root, owners, mutation=root is self.core.mutation_type)

    def sdl(self) -> str:
        """Return the sorted schema in the schema definition language (SDL)."""
        # Sort a copy for printing only: sorting replaces strawberry's enum types.
        return print_schema(lexicographic_sort_schema(self.core))


def merge(parts: Sequence[Part]) -> Merged:
    """Merge all parts into one schema.

    Raises:
        ConfigurationError: two parts define the same field or type, a part is not a valid
            schema, or there are no query fields.
    """
    problems: list[Problem] = []
    owners: dict[tuple[str, str], Part] = {}
    for part in parts:
        problems += _check_types(part)
    if problems:
        raise ConfigurationError(problems)
    for root, part, field, python_name in _root_fields(parts):
        other = owners.setdefault((root, field), part)
        named = owners.setdefault((root, f".{python_name}"), part)
        if other is not part or named is not part:
            problems.append(
                _conflict(f"the field {root}.{field}", other if other is not part else named, part)
            )
    if problems:
        raise ConfigurationError(problems)
    if not any(part.value.query for part in parts):
        raise ConfigurationError([_no_query()])
    try:
        return Merged(_schema(parts), owners)
    except Exception as error:
        raise ConfigurationError(list(_explain(parts, error))) from error


def _schema(parts: Sequence[Part]) -> strawberry.Schema:
    roots: dict[str, Any] = {}
    for name, attribute in ROOTS.items():
        kinds = tuple(
            dict.fromkeys(
                kind for part in parts if (kind := getattr(part.value, attribute)) is not None
            )
        )
        roots[attribute] = (
            strawberry.type(type(name, kinds, {"__doc__": None}), name=name) if kinds else None
        )
    types = [each for part in parts for each in part.value.types]
    return strawberry.Schema(**roots, types=list(dict.fromkeys(types)))


def _root_fields(parts: Sequence[Part]) -> Iterator[tuple[str, Part, str, str]]:
    """Yield root type, part, schema name and Python name of each root field."""
    names = StrawberryConfig().name_converter
    for root, attribute in ROOTS.items():
        for part in parts:
            kind = getattr(part.value, attribute)
            for field in get_object_definition(kind, strict=True).fields if kind else ():
                yield root, part, names.get_graphql_name(field), field.python_name


def _check_types(part: Part) -> Iterator[Problem]:
    for attribute in ROOTS.values():
        kind = getattr(part.value, attribute)
        if kind is not None and get_object_definition(kind) is None:
            yield Problem(
                code="graphql-type",
                who=part.who,
                where=part.location,
                what=f"{attribute} of the plugin's Schema is not a strawberry type",
                expected="a class under @strawberry.type, or None",
                got=repr(kind),
                fix="write @strawberry.type above the class",
            )


def _conflict(subject: str, one: Part, other: Part) -> Problem:
    return Problem(
        code="graphql-conflict",
        who=", ".join(sorted({one.who, other.who})),
        where=f"{one.location}; {other.location}",
        what=f"{subject} is defined twice",
        expected="one owner",
        got=f"{one.plugin} at {one.location}, {other.plugin} at {other.location}",
        fix=f"rename it in one of them, or enable only one of {one.plugin}, {other.plugin}",
    )


def _no_query() -> Problem:
    return Problem(
        code="graphql-empty",
        who="plugin graphql",
        where="extension point graphql_schema",
        what="no enabled plugin contributes a query field, so the API would be empty",
        expected="at least one plugin whose graphql_schema returns a Schema with a query",
        got="none",
        fix="enable a plugin that contributes one, or remove graphql from plugins",
    )


def _explain(parts: Sequence[Part], error: Exception) -> Iterator[Problem]:
    """Yield why there is no valid schema: parts invalid on their own, and duplicate types."""
    claimed: dict[str, tuple[Part, Any]] = {}
    found = False
    for part in parts:
        try:
            types = _types(part)
        except Exception as own:
            found = True
            yield _invalid(part.who, part.location, own)
            continue
        for name, definition in types.items():
            other, theirs = claimed.setdefault(name, (part, definition))
            if other is not part and theirs is not definition:
                found = True
                yield _conflict(f"the type {name}", other, part)
    if not found:
        sites = "; ".join(part.location for part in parts)
        yield _invalid(", ".join(part.who for part in parts), sites, error)


def _types(part: Part) -> dict[str, Any]:
    """Return the types that one part defines, by name."""
    query = part.value.query or strawberry.type(type("Query", (), {"__annotations__": {"x": str}}))
    schema = strawberry.Schema(query, part.value.mutation, types=part.value.types)
    roots = {schema._schema.query_type, schema._schema.mutation_type}
    return {
        name: _origin(concrete.definition)
        for name, concrete in schema.schema_converter.type_map.items()
        if concrete.implementation not in roots
    }


def _origin(definition: Any) -> Any:
    """Return the class of a definition, because the definition object may be recreated."""
    return getattr(definition, "origin", None) or getattr(definition, "wrapped_cls", definition)


def _invalid(who: str, where: str, error: Exception) -> Problem:
    return Problem(
        code="graphql-schema",
        who=who,
        where=where,
        what="the plugin's types make no valid schema",
        expected="types that strawberry accepts",
        got=" ".join(f"{type(error).__name__}: {error}".split()),
        fix="correct the types",
    )


def _guard_fields(
    root: GraphQLObjectType, owners: dict[tuple[str, str], Part], *, mutation: bool
) -> None:
    """Wrap the resolvers of all fields of a root type with the check of the client."""
    for name, field in root.fields.items():
        field.resolve = _guard_resolver(field, owners[root.name, name].value, mutation=mutation)


def _guard_resolver(field: GraphQLField, owner: Schema, *, mutation: bool) -> Callable[..., Any]:
    resolve = field.resolve or default_field_resolver

    def resolve_guarded(source: Any, info: Any, **arguments: Any) -> Any:
        context: Context = info.context
        context.enter(owner)
        if mutation:
            context.forget()
        return resolve(source, info, **arguments)

    return resolve_guarded
