"""The HTTP half: post a greeting, look at it, and a middleware around both."""

from __future__ import annotations

import json
from typing import Any

import falcon
import msgspec
from rolehost.api import Event, Secret, Services
from rolehost.api.http import decode

from rolehost_reference.models import StoredGreeting
from rolehost_reference.work import TOPIC, Greeted


class NewGreeting(msgspec.Struct):
    """Body of a POST."""

    id: str
    name: str


class Greetings:
    """``/reference/greetings`` and ``/reference/greetings/{greeting}``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store a greeting and publish that it happened, in one transaction."""
        body = decode(req.context.body, NewGreeting)
        services: Services = req.context.services
        with services.unit_of_work() as work:
            StoredGreeting.insert(id=body.id, name=body.name).execute()
            work.publish(Event(topic=TOPIC, type="greeted", data=Greeted(body.id), key=body.id))
        resp.status = falcon.HTTP_201

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, greeting: str) -> None:
        """Return how often it was handled and counted."""
        found = StoredGreeting.get_or_none(StoredGreeting.id == greeting)
        if found is None:
            raise falcon.HTTPNotFound(description=f"no greeting {greeting}")
        resp.media = {"handled": found.handled, "counted": found.counted}


class Signature:
    """Middleware that puts a header on every response."""

    def __init__(self, signature: Secret) -> None:
        self._signature = signature

    async def process_response(
        self, _req: Any, resp: Any, _resource: object, _succeeded: bool
    ) -> None:
        """Add the header."""
        resp.set_header("x-reference", self._signature.reveal())


def render(status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
    """Errors below ``/reference``: shorter than problem+json."""
    body = {"status": status, "error": code or title, "detail": detail}
    return "application/json", json.dumps(body).encode()
