"""Applications of the role ``http``, and responders for them."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from rolehost.api import Route
from rolehost.api.http import read
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import Application, build

from tests.http.asgi import Answer
from tests.http.compositions import compose
from tests.http.fakes import FakeServices

QUIET = {"request_id": False, "access_log": False}


class Host:
    """Applications that are closed at the end of the test."""

    def __init__(self) -> None:
        self.services = FakeServices()
        self.recorders = Recorders()
        self._built: list[Application] = []

    def app(self, *routes: Route, backends: Any = None, **settings: Any) -> Any:
        composition = compose(routes, backends=backends, **{**QUIET, **settings})
        application = build(
            composition,
            self.services,  # type: ignore[arg-type]
            self.recorders,
        )
        self._built.append(application)
        return application.asgi

    def close(self) -> None:
        for application in self._built:
            application.close()


class Items:
    async def on_get(self, req: Any, resp: Any, item: str) -> None:
        resp.media = {"item": item, "services": id(req.context.services)}

    async def on_post(self, req: Any, resp: Any, item: str) -> None:
        resp.data = await read(req)


class Threaded:
    def on_post(self, req: Any, resp: Any) -> None:
        resp.media = {
            "length": len(req.context.body),
            "thread": threading.current_thread().name.partition("_")[0],
            "bound": structlog.contextvars.get_contextvars().get("request_id"),
        }

    def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"body": req.context.body.decode()}


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def on_get(self, req: Any, resp: Any) -> None:
        raise self.error

    def on_post(self, req: Any, resp: Any) -> None:
        raise self.error


def problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "about:blank"
    assert answer.json["status"] == answer.status
    return dict(answer.json)
