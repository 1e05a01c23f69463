"""What is answered while a process waits for its backends.

The routes that say so (:attr:`~rolehost.api.Route.waiting`) are served: a liveness probe must
hold, or whoever watches it would end a process that only has to wait. All others are 503.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from rolehost.api.contributions import Check
from rolehost.api.services import Services
from rolehost.composition.model import Composition, Owned
from rolehost.errors import StorageUnavailable
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import Application, build
from rolehost.roles.http.gate import Asgi, Scope, Send
from rolehost.roles.http.problems import overloaded
from rolehost.roles.http.requests import Receive
from rolehost.services import ProcessServices


class Doorway(Application):
    """The application that stands for a composition's own until that one is there.

    Args:
        composition: its routes that serve while waiting, its error formats and its backends are
            used; plugins' checks are not, for no plugin has been started.
    """

    def __init__(self, composition: Composition) -> None:
        early = replace(
            composition,
            routes=tuple(owned for owned in composition.routes if owned.value.waiting),
            middleware=(),
            checks=(Owned(Check(name="start", fn=_not_started), "rolehost", __name__),),
        )
        self._services = ProcessServices(early, role="http")
        # Without the database: responders that must not wait for it enter no session.
        built = build(
            replace(early, backends={}, degraded=()),
            self._services,
            Recorders(),
            composition.deployment.host,
            elsewhere=lambda: overloaded("The service waits for a backend."),
        )
        super().__init__(_closing(built.asgi), built.pool, built.streams)

    def close(self) -> None:
        """Wait for responders that still run, and close the connections to backends."""
        super().close()
        self._services.close()


def _not_started(_services: Services) -> str | None:
    """Keep the process unready, also in the moment between a backend's return and the start."""
    raise StorageUnavailable("the process waits for its backends")


def _closing(app: Asgi) -> Asgi:
    """Wrap an application so that each connection ends after its answer.

    A connection keeps the application that it met first, so none may outlast the wait.
    """

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        def closing(message: dict[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            return send(message)

        return app(scope, receive, closing)

    return call
