"""The router: Falcon's own, a part for each first segment, with synchronous responders wrapped."""

from __future__ import annotations

import inspect
from typing import Any

from falcon.routing import CompiledRouter

from rolehost.api.contributions import Route
from rolehost.api.services import Services
from rolehost.roles.http.requests import TEMPLATE
from rolehost.roles.http.responders import KEYED, Pool, keyed, on_threads


class Part(CompiledRouter):
    """Maps methods to responders: asynchronous ones untouched, synchronous ones on threads."""

    def __init__(self, pool: Pool, services: Services) -> None:
        super().__init__()
        self._pool = pool
        self._services = services

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:
        """Map the responders of a route; ``route`` among the keywords is its :class:`Route`."""
        route: Route = kwargs["route"]
        return {
            method: self._responder(method, responder, route)
            for method, responder in super().map_http_methods(resource, **kwargs).items()
        }

    def _responder(self, method: str, responder: Any, route: Route) -> Any:
        if inspect.iscoroutinefunction(responder):
            return responder
        if route.idempotent and method in KEYED:
            responder = keyed(responder, self._services)
        return on_threads(responder, self._pool)


class Router(Part):
    """Finds the part by the first segment, so that no plugin's routes cost another's requests.

    What Falcon compiles compares a segment with one sibling after the other, which makes the
    last of many plugins pay for all before it. Templates that begin with a variable are in the
    router itself; as in Falcon, they have what no literal one takes.
    """

    def __init__(self, pool: Pool, services: Services) -> None:
        super().__init__(pool, services)
        self._parts: dict[str, Part] = {}

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Add a route to the part of its first segment; raises what Falcon raises."""
        first = uri_template.lstrip("/").partition("/")[0]  # as Falcon splits a path
        if "{" in first:
            super().add_route(uri_template, resource, **kwargs)
            return
        part = self._parts.get(first) or Part(self._pool, self._services)
        part.add_route(uri_template, resource, **kwargs)
        self._parts[first] = part

    def find(self, uri: str, req: Any = None) -> Any:
        """Find a route as Falcon does."""
        # PERF: on the way of every request, and so without a function for it.
        part = self._parts.get(uri.lstrip("/").partition("/")[0])
        found = part.find(uri, req) if part is not None else None
        return super().find(uri, req) if found is None else found

    def compile(self) -> None:
        """Compile every part now; Falcon does it at the first request to each."""
        for part in self._parts.values():
            part.find("")
        super().find("")


class TellingRouter(Router):
    """A router that leaves the template in the ASGI scope, for logs and metrics."""

    def find(self, uri: str, req: Any = None) -> Any:
        """Find a route as Falcon does, and tell its template."""
        found = super().find(uri, req)
        if found is not None and req is not None:
            req.scope[TEMPLATE] = found[3]
        return found
