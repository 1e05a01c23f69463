"""Builds one ASGI application from a composition."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import falcon.asgi
import msgspec
from falcon.media import JSONHandler

from rolehost.api.contributions import Check, Route
from rolehost.api.json import load_json
from rolehost.api.services import Services
from rolehost.composition import responders
from rolehost.composition.model import Composition, Owned
from rolehost.errors import StorageUnavailable
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.access import admissions
from rolehost.roles.http.body import Request
from rolehost.roles.http.middleware import HostMiddleware
from rolehost.roles.http.problems import ERROR_RESPONSES, NotStarted, install
from rolehost.roles.http.responders import adapter
from rolehost.roles.http.responses import EventStreams, ResponseCheck
from rolehost.roles.http.routes import Router
from rolehost.roles.http.scope import Asgi
from rolehost.services import ProcessServices
from rolehost.services.threads import Threads

#: ``Retry-After`` of a degraded plugin, seconds; a restart or a reload may bring it back.
_DEGRADED_RETRY_AFTER = 30


@dataclass
class Application:
    """The ASGI callable of a process, its threads of synchronous responders and event streams."""

    asgi: Asgi
    threads: Threads
    streams: EventStreams
    #: Services that only this application uses; they are closed with it.
    services: ProcessServices | None = None

    def close(self) -> None:
        """Wait for synchronous responders that still run, then close its own services."""
        self.threads.close()
        if self.services is not None:
            self.services.close()


def build(
    composition: Composition,
    services: Services,
    recorders: Recorders,
    not_found: Callable[[], falcon.HTTPError] | None = None,
) -> Application:
    """Build the application of a composition.

    ``services`` becomes ``req.context.services``. If ``recorders`` is empty now, recorders that
    are added later are not used. ``not_found`` makes the error for a request without a route;
    None: 404. The cost of a request does not depend on the number of plugins.
    """
    http = composition.deployment.host.http
    threads = Threads(http.threads, "responder")
    session = services.database.session if "database" in composition.backends else nullcontext
    router = Router(
        adapter(threads, session, services),
        max_body=http.max_body,
        formats=[owned.value for owned in composition.error_formats],
        not_found=not_found,
    )
    admission_to = admissions(composition)
    for owned in composition.routes:
        router.add(owned.value, admission_to(owned))
    _add_degraded(router, composition)
    router.compile()
    streams = EventStreams()
    app = _falcon(composition, services, router, streams)
    return Application(HostMiddleware(app, router, http, recorders), threads, streams)


def _falcon(
    composition: Composition, services: Services, router: Any, streams: EventStreams
) -> falcon.asgi.App[Any, Any]:
    components: list[Any] = [owned.value.component for owned in composition.middleware]
    # PERF: a class attribute of the context costs a request nothing.
    context = type("Context", (falcon.Context,), {"services": services, "body": b""})
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(
        request_type=type("HostRequest", (Request,), {"context_type": context}),
        middleware=[ResponseCheck(streams), *components],
        router=router,
    )
    handler = JSONHandler(dumps=msgspec.json.encode, loads=load_json)
    for options in (app.req_options, app.resp_options):
        options.media_handlers[falcon.MEDIA_JSON] = handler
    install(app)
    return app


def _add_degraded(router: Router, composition: Composition) -> None:
    """Add routes that answer 503 for degraded plugins, except paths of other plugins."""
    taken = {owned.value.path for owned in composition.routes}
    for plugin in composition.degraded:
        for owned in plugin.routes:
            if owned.value.path not in taken:
                # The router refuses a template that conflicts with another plugin's template.
                with suppress(ValueError):
                    router.add(_unavailable_route(owned.value, plugin.name), None)


def _unavailable_route(route: Route, plugin: str) -> Route:

    async def refuse(*_: Any, **__: Any) -> None:
        raise falcon.HTTPServiceUnavailable(
            title="Plugin unavailable",
            description=f"The plugin {plugin} is not available for now.",
            retry_after=_DEGRADED_RETRY_AFTER,
            code="plugin_degraded",
        )

    resource = type("Unavailable", (), dict.fromkeys(responders(route).values(), refuse))()
    return replace(route, resource=resource)


def startup_application(composition: Composition) -> Application:
    """Build the application of a process that waits for its backends.

    It serves the routes with :attr:`~rolehost.api.Route.waiting`; all others answer 503. A
    liveness probe must succeed, or Kubernetes would restart a process that only has to wait.
    Plugins' checks are not used, because no plugin has been started.
    """
    early = replace(
        composition,
        routes=tuple(owned for owned in composition.routes if owned.value.waiting),
        middleware=(),
        checks=(Owned(Check(name="start", fn=_not_started), "rolehost", __name__),),
    )
    services = ProcessServices(early, role="http")
    # Without backends, responders open no database session, which would wait for the database.
    application = build(
        replace(early, backends={}, degraded=()),
        services,
        services.recorders,
        not_found=ERROR_RESPONSES[NotStarted],
    )
    application.services = services
    return application


def _not_started(_services: Services) -> str | None:
    """Keep the process unready until its start, even if the backend is back."""
    raise StorageUnavailable("the process waits for its backends")
