"""The request class of the host: its context, and bodies that are bounded while read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi.stream import BoundedStream

from rolehost.api.services import Services

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

#: Keys of the ASGI scope under which the router leaves what it found, as Falcon's router returns
#: it, and the :class:`~rolehost.roles.http.routes.Rules` of the request.
FOUND, RULES = "rolehost.found", "rolehost.rules"

#: Key of the ASGI scope that says: the body was refused while it was still being sent.
REFUSED = "rolehost.refused"


class BodyIncomplete(Exception):
    """The client left, or stopped sending, before its body was complete."""


class Request(falcon.asgi.Request):
    """Falcon's request whose body cannot grow beyond what its route allows.

    Nothing is added to a request whose body arrived whole, or that has none: a body of
    declared length was checked before Falcon saw it, and the server counts it.
    """

    @property
    def stream(self) -> BoundedStream:  # type: ignore[override]
        """The body.

        Raises:
            falcon.HTTPContentTooLarge: more came than the route allows.
            BodyIncomplete: the client left; when reading, not here.
        """
        if self._stream is None:
            first = self._first_event or {}
            length = self.content_length
            receive = self._receive
            if first.get("more_body"):
                limit = self.scope[RULES].max_body
                receive = _bounded(receive, self.scope, limit, len(first.get("body", b"")))
            self._stream = BoundedStream(
                receive, first_event=self._first_event, content_length=length
            )
        return self._stream


def _bounded(receive: Receive, scope: dict[str, Any], limit: int, taken: int) -> Receive:
    """Count what is received; refuse what is too much, and a body that ends early."""
    if taken > limit:
        raise too_large(scope, limit)

    async def receive_bounded() -> Mapping[str, Any]:
        nonlocal taken
        event = await receive()
        if event["type"] == "http.disconnect":
            raise BodyIncomplete
        taken += len(event.get("body", b""))
        if taken > limit:
            raise too_large(scope, limit)
        return event

    return receive_bounded


def too_large(scope: dict[str, Any], limit: int) -> falcon.HTTPContentTooLarge:
    """Make the 413 for a body above ``limit`` bytes, and mark the connection as unread."""
    scope[REFUSED] = True
    return falcon.HTTPContentTooLarge(
        title="Body too large",
        description=f"The body is larger than the {limit} bytes allowed here.",
        headers={"Connection": "close"},
    )


def request_type(services: Services) -> type:
    """Make the request class of one application.

    ``req.context.services`` is a class attribute of the context, so it costs a request
    nothing.
    """
    context = type("Context", (falcon.Context,), {"services": services, "body": b""})
    return type("HostRequest", (Request,), {"context_type": context})
