"""Static query analysis: depth and maximum cost of an operation before it runs.

Cost is the maximum number of objects that the operation can return. A field that returns an
object costs 1. Fields below a list are multiplied by ``first``, ``last`` or ``limit``, or by
:attr:`Limits.list_size` if the field has no such argument. Scalar fields cost nothing, except
expensive ones with ``metadata={"cost": n}``. For example,
``{ apps(first: 20) { edges { node { name endpoints(first: 5) { nodes { url } } } } } }``
costs 1 for the connection, 20 edges, 20 nodes, 20 connections and 100 endpoints: 161.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)

from rolehost_graphql.errors import TOO_COSTLY, TOO_DEEP, Refused

#: Arguments with the maximum number of items of a list.
SLICING = ("first", "last", "limit")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an operation.

    Attributes:
        depth: maximum number of levels of fields.
        cost: maximum number of objects.
        list_size: assumed number of items of a list if no argument sets it.
    """

    depth: int
    cost: int
    list_size: int


@dataclass(slots=True)
class Measure:
    """Depth and cost of an operation."""

    depth: int = 0
    cost: int = 0


def count_aliases(document: DocumentNode) -> int:
    """Count the aliases of a document."""
    count = 0
    waiting: list[Any] = [
        each.selection_set
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode) and node.alias is not None:
                count += 1
            inner = getattr(node, "selection_set", None)
            if inner is not None:
                waiting.append(inner)
    return count


def measure(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    limits: Limits,
) -> Measure:
    """Measure a valid operation.

    Args:
        variables: the client's values before coercion; defaults of the operation are added.

    Raises:
        Refused: the operation exceeds the depth or cost limit.
    """
    root = schema.get_root_type(operation.operation)
    walk = _Walk(schema, document, _with_defaults(operation, variables), limits)
    walk.level([(root, operation.selection_set)], 1, 1, None)
    return walk.found


def _with_defaults(
    operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in operation.variable_definitions or ():
        name = each.variable.name.value
        if name in variables:
            values[name] = variables[name]
        elif isinstance(each.default_value, IntValueNode):
            values[name] = int(each.default_value.value)
    return values


class _Walk:
    """Walks the fields of one operation; fields with the same response key count once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: Mapping[str, Any],
        limits: Limits,
    ) -> None:
        self.found = Measure()
        self._schema = schema
        self._variables = variables
        self._limits = limits
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }

    def level(
        self,
        selected: Sequence[tuple[Any, SelectionSetNode]],
        depth: int,
        times: int,
        size: int | None,
    ) -> None:
        """Walk the fields of at most ``times`` objects.

        Args:
            size: maximum number of items of their lists if an argument of the parent field sets
                it, as in a connection; None if the lists have their own arguments.
        """
        together: dict[str, list[tuple[Any, FieldNode]]] = {}
        for parent, field in self._fields(selected, set()):
            together.setdefault((field.alias or field.name).value, []).append((parent, field))
        if together and depth > self.found.depth:
            self.found.depth = depth
            if depth > self._limits.depth:
                raise Refused(
                    f"The operation has more than the {self._limits.depth} levels allowed.",
                    TOO_DEEP,
                    maxDepth=self._limits.depth,
                )
        for fields in together.values():
            self._field(fields, depth, times, size)

    def _field(
        self,
        fields: Sequence[tuple[Any, FieldNode]],
        depth: int,
        times: int,
        size: int | None,
    ) -> None:
        """Walk one field; ``fields`` are all selections with its response key."""
        parent, node = fields[0]
        definition = _definition(parent, node.name.value)
        if definition is None:
            return  # __typename, or introspection, which has its own rule
        named = get_named_type(definition.type)
        composite = is_composite_type(named)
        own = self._size(definition, node)
        inner = own
        if _is_list(definition):
            inner = None
            count = own if own is not None else size
            if count is None:
                count = self._limits.list_size if composite else 1
            # A list with zero items still costs a database query.
            times *= max(1, count)
        self._add_cost(times * _cost_of(definition, composite=composite))
        if composite:
            below = [(named, field.selection_set) for _, field in fields if field.selection_set]
            self.level(below, depth + 1, times, inner)

    def _fields(
        self, selected: Sequence[tuple[Any, SelectionSetNode]], seen: set[str]
    ) -> Iterator[tuple[Any, FieldNode]]:
        """Yield the fields of selection sets, including those of fragments, with their types."""
        for parent, selection_set in selected:
            for node in selection_set.selections:
                if isinstance(node, FieldNode):
                    yield parent, node
                elif isinstance(node, InlineFragmentNode):
                    yield from self._fields(
                        [(self._resolve_type(parent, node), node.selection_set)], seen
                    )
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                    seen.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                    inside = (self._resolve_type(parent, fragment), fragment.selection_set)
                    yield from self._fields([inside], seen)

    def _resolve_type(self, parent: Any, node: Any) -> Any:
        condition = node.type_condition
        return self._schema.get_type(condition.name.value) if condition else parent

    def _size(self, definition: GraphQLField, node: FieldNode) -> int | None:
        """Return the number of items that the arguments request, or None without such arguments."""
        known = [name for name in SLICING if name in definition.args]
        if not known:
            return None
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = []
        for name in known:
            default = definition.args[name].default
            value: Any = definition.args[name].default_value
            if default is not None:
                value = self._value(default.literal) if default.literal else default.value
            if name in arguments:
                value = self._value(arguments[name])
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # GraphQL also coerces it this way
            if isinstance(value, int) and not isinstance(value, bool):
                sizes.append(value)
        return min(sizes) if sizes else self._limits.list_size

    def _value(self, node: Any) -> Any:
        if isinstance(node, IntValueNode):
            return int(node.value)
        if isinstance(node, VariableNode):
            return self._variables.get(node.name.value)
        return None

    def _add_cost(self, cost: int) -> None:
        self.found.cost += cost
        if self.found.cost > self._limits.cost:
            raise Refused(
                f"The operation may ask for more than the {self._limits.cost} objects allowed;"
                " ask for fewer items of its lists.",
                TOO_COSTLY,
                maxCost=self._limits.cost,
            )


def _definition(parent: Any, name: str) -> GraphQLField | None:
    if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
        found: GraphQLField | None = parent.fields.get(name)
        return found
    return None


def _is_list(definition: GraphQLField) -> bool:
    kind = definition.type
    return is_list_type(kind.of_type if is_non_null_type(kind) else kind)


def _cost_of(definition: GraphQLField, *, composite: bool) -> int:
    declared = definition.extensions.get("strawberry-definition")
    metadata = getattr(declared, "metadata", None) or {}
    return int(metadata.get("cost", 1 if composite else 0))
