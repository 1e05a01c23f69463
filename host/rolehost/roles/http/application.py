"""From a composition to one ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import falcon.asgi
import msgspec
from falcon.media import JSONHandler

from rolehost.api.json import load_json
from rolehost.api.services import Services
from rolehost.composition.model import Composition
from rolehost.deployment.model import HostSettings
from rolehost.observe import logs
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.access import admissions
from rolehost.roles.http.answers import Answers, Streams
from rolehost.roles.http.degraded import add_refusals
from rolehost.roles.http.gate import Asgi, BodyLimit, limited, matched, observed, surviving
from rolehost.roles.http.problems import install
from rolehost.roles.http.requests import request_type
from rolehost.roles.http.responders import Pool
from rolehost.roles.http.routes import Router


class Application:
    """The HTTP application of one process: an ASGI callable, and what it must close.

    Attributes:
        asgi: the callable; Falcon below one wrapper.
        pool: the threads of synchronous responders.
        streams: its event streams.
    """

    def __init__(self, asgi: Asgi, pool: Pool, streams: Streams) -> None:
        self.asgi = asgi
        self.pool = pool
        self.streams = streams

    def close(self) -> None:
        """Wait for synchronous responders that still run; end their threads."""
        self.pool.close()


def build(
    composition: Composition,
    services: Services,
    recorders: Recorders,
    settings: HostSettings,
    elsewhere: Callable[[], falcon.HTTPError] | None = None,
) -> Application:
    """Build the application of a composition.

    What a request costs does not depend on the number of plugins: the wrapper is made of what
    the settings ask for, middleware is what plugins contribute, and the router goes by a path's
    first segment to the routes that begin with it.

    Args:
        composition: its routes, error formats and middleware are used.
        services: becomes ``req.context.services``; its ``request_scope`` serves routes that
            are idempotent.
        recorders: told of each request, when anybody listens at this moment.
        settings: ``[http]`` of them.
        elsewhere: makes the answer where no route matches; None: 404.
    """
    http = settings.http
    has_database = "database" in composition.backends
    pool = Pool(http.threads, services.database.session if has_database else nullcontext)
    write = logs.often("info", "request") if http.access_log else None
    told = write is not None or bool(recorders)
    router = Router(
        pool,
        services,
        max_body=http.max_body,
        formats=[owned.value for owned in composition.error_formats],
        elsewhere=elsewhere,
    )
    streams = Streams()
    components: list[Any] = [Answers(streams)]
    components += [owned.value.component for owned in composition.middleware]
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(
        request_type=request_type(services),
        middleware=components,
        router=router,
    )
    handler = JSONHandler(dumps=msgspec.json.encode, loads=load_json)
    for options in (app.req_options, app.resp_options):
        options.media_handlers[falcon.MEDIA_JSON] = handler
    install(app)
    admission_to = admissions(composition)
    for owned in composition.routes:
        route, admit = owned.value, admission_to(owned)
        suffix = route.suffix or None
        app.add_route(route.path, route.resource, suffix=suffix, route=route, admit=admit)
    add_refusals(app, composition)
    router.compile()
    asgi = limited(surviving(app), BodyLimit(router.smallest_body))
    if told or http.request_id:
        asgi = observed(
            asgi,
            identify=http.request_id,
            write=write,
            recorders=recorders if recorders else None,
        )
    return Application(matched(asgi, router.match), pool, streams)
