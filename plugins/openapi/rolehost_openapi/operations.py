"""The operations of a composition: one for each method of each route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from falcon.routing import map_http_methods
from rolehost.api import Route
from rolehost.api.http import OPERATION, Operation

from rolehost_openapi.templates import translate

#: Methods of an OpenAPI 3.1 path item, in the order of the specification.
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class RouteOperation:
    """One method of one route.

    Attributes:
        plugin: name of the plugin that declares the route.
        route: the route.
        method: one of :data:`METHODS`, in lower case.
        operation: the plugin's description of the operation; by default an empty one.
        text: docstring of the responder, or empty.
    """

    plugin: str
    route: Route
    method: str
    operation: Operation
    text: str

    @property
    def location(self) -> str:
        """The name of the operation in error messages."""
        return f"{self.method.upper()} {self.route.path} of plugin {self.plugin}"


def list_operations(routes: Sequence[tuple[str, Route]]) -> list[RouteOperation]:
    """Return the visible operations, sorted by path and method."""
    found = [entry for plugin, route in routes for entry in _route_operations(plugin, route)]
    return sorted(found, key=lambda entry: (entry.route.path, METHODS.index(entry.method)))


def _route_operations(plugin: str, route: Route) -> Iterator[RouteOperation]:
    responders = map_http_methods(route.resource, suffix=route.suffix or None)
    for method, responder in responders.items():
        if method.lower() not in METHODS:
            continue
        operation = getattr(responder, OPERATION, Operation())
        if not operation.hidden:
            yield RouteOperation(plugin, route, method.lower(), operation, responder.__doc__ or "")


def identify(operations: Sequence[RouteOperation]) -> list[str]:
    """Return a unique and stable operation id for each operation.

    Ids from plugins take precedence over ids that are generated from method and path. Duplicates
    are numbered in the order of the operations.
    """
    ids = [entry.operation.operation_id for entry in operations]
    taken: set[str] = set()
    for from_plugin in (True, False):
        for index, entry in enumerate(operations):
            declared = entry.operation.operation_id
            if bool(declared) is from_plugin:
                ids[index] = _unused(declared or _default_id(entry), taken)
                taken.add(ids[index])
    return ids


def _default_id(entry: RouteOperation) -> str:
    path, _ = translate(entry.route.path)
    return "_".join([entry.method, *re.findall(r"[A-Za-z0-9]+", path)])


def _unused(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
