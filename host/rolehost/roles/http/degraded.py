"""What the routes of a plugin answer that the process goes on without."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import falcon
import falcon.asgi

from rolehost.api.contributions import Route
from rolehost.composition import responders
from rolehost.composition.model import Composition

#: Seconds after which a client may ask again: only a restart or a reload mends a plugin.
RETRY_AFTER = 30


class Refusal:
    """A resource that answers 503 to the methods of a route.

    Args:
        plugin: name of the plugin, which is all that clients are told.
        route: the route that is not served.
    """

    def __init__(self, plugin: str, route: Route) -> None:
        async def refuse(*_: Any, **__: Any) -> None:
            raise falcon.HTTPServiceUnavailable(
                title="Plugin unavailable",
                description=f"The plugin {plugin} is not available for now.",
                retry_after=RETRY_AFTER,
                code="plugin_degraded",
            )

        for name in responders(route).values():
            setattr(self, name, refuse)


def add_refusals(app: falcon.asgi.App[Any, Any], composition: Composition) -> None:
    """Add the routes of degraded plugins to an application that has all others.

    A path that another plugin serves stays with it.
    """
    taken = {owned.value.path for owned in composition.routes}
    for each in composition.degraded:
        for owned in each.routes:
            route = owned.value
            if route.path in taken:
                continue
            resource = Refusal(each.name, route)
            # The router refuses a template that stands against one of another plugin.
            with suppress(ValueError):
                app.add_route(
                    route.path,
                    resource,
                    suffix=route.suffix or None,
                    route=route,
                    admit=None,
                )
