"""The router: Falcon's own, which also tells the template and wraps synchronous responders."""

from __future__ import annotations

import inspect
from typing import Any

from falcon.routing import CompiledRouter

from rolehost.api.contributions import Route
from rolehost.api.services import Services
from rolehost.roles.http.requests import TEMPLATE
from rolehost.roles.http.responders import KEYED, Pool, keyed, on_threads


class Router(CompiledRouter):
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


class TellingRouter(Router):
    """A router that leaves the template in the ASGI scope, for logs and metrics."""

    def find(self, uri: str, req: Any = None) -> Any:
        """Find a route as Falcon does, and tell its template."""
        found = super().find(uri, req)
        if found is not None and req is not None:
            req.scope[TEMPLATE] = found[3]
        return found
